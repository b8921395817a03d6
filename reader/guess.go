package reader

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"poolfill/reader/table"
)

// guessable is a charset that a guess can be.
type guessable struct {
	charset string
	// frequent are the letters and signs that make up most of what is not ASCII
	// in the languages for which it is used.
	frequent string
}

// guessables returns the likelier charsets first: the first of equals is taken.
func guessables() []guessable {
	const (
		cyrillic = "оеаинтсрвлкмдпуыі"
		western  = "éèàùìòâêîôûçäöüßñáíóúãåæø°£©®µ€“”‘’–—…«»"
		central  = "ąćęłńóśźżáčďéěíňřšťúůýžöőüűă"
		turkish  = "ğışçöüâî"
		greek    = "αοιετνσςρηκπμλίάόέ"
		hebrew   = "יוהלאמרתבשנםעדחקךן"
		arabic   = "اليمونرتبهةعدسفكق"
		thai     = "านรอกเงมยลวดทส่้"
		japanese = "あいうかがきくけこさしすせそただちつってでとどなにのはまみめもやよらりるれわをんアイカクシスタテトドフメラリルレロンー"
		korean   = "이다는을의에가고한하지로기사"
		chinese  = "的一是不了在有人我他這这中大为為上个個国國到说說们們和你地出道也时時年得就那要下以生会會自着去之过過家学學对對可她里小么心多天而能好都然没日于起还還发成事只作当想看文无開手十用主行方又如前所本见经頭面公同三已老从動兩长"
	)
	return []guessable{
		{"windows-1252", western},
		{"windows-1251", cyrillic},
		{"gb18030", chinese},
		{"shift_jis", japanese},
		{"euc-kr", korean},
		{"big5", chinese},
		{"euc-jp", japanese},
		{"windows-1255", hebrew},
		{"koi8-r", cyrillic},
		{"koi8-u", cyrillic},
		{"ibm866", cyrillic},
		{"windows-1254", turkish},
		{"windows-1250", central},
		{"iso-8859-2", central},
		{"windows-1253", greek},
		{"windows-1256", arabic},
		{"windows-874", thai},
		{"x-mac-cyrillic", cyrillic},
		{"macintosh", western},
		{"iso-8859-5", cyrillic},
	}
}

// The points of a character that is not ASCII.
const (
	pointsFrequent = 2  // a frequent letter or sign
	pointsWide     = 1  // any other letter of East Asia: few texts of other charsets can be read as such
	pointsRun      = -2 // a Latin letter after another one that is not ASCII
	pointsOdd      = -4 // a change of script or from small to capital inside a word, or a sign there
)

// guessCharset returns the charset that a text most likely has, or "". It is the
// one in which the text reads most like words: of frequent letters of one
// script, without signs between them or capitals at their ends.
func guessCharset(text []byte) string {
	best, guess := 0.0, ""
	for _, g := range guessables() {
		c, err := namedCharset(g.charset)
		if err != nil {
			continue
		}
		decoded, err := c.decoding.NewDecoder().Bytes(text)
		if err != nil {
			continue
		}
		// A character may be cut at the end.
		if p, ok := plausibility(strings.TrimSuffix(string(decoded), "\uFFFD"), g.frequent); ok && (guess == "" || p > best) {
			best, guess = p, g.charset
		}
	}
	if best < 0 {
		return ""
	}
	return guess
}

// plausibility says how much a decoded text reads like words, in points for
// each character that is not ASCII. ok is false where a character is none that
// a text holds.
func plausibility(text, frequent string) (points float64, ok bool) {
	count := 0
	var last, sign rune // the letter just before, and a sign that follows it
	for _, r := range text {
		if !belongsToText(r) {
			return 0, false
		}
		letter := unicode.In(r, unicode.L, unicode.M)
		inWord := letter && last != 0
		if r >= utf8.RuneSelf {
			count++
			switch {
			case inWord && last >= utf8.RuneSelf && unicode.Is(unicode.Latin, r):
				points += pointsRun
			case strings.ContainsRune(frequent, unicode.ToLower(r)):
				points += pointsFrequent
			case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana):
				points += pointsWide
			}
		}
		if inWord && max(r, last, sign) >= utf8.RuneSelf &&
			(sign != 0 || scriptOf(r) != scriptOf(last) || unicode.IsLower(last) && unicode.IsUpper(r)) {
			points += pointsOdd
		}
		switch {
		case letter:
			last, sign = r, 0
		case last != 0 && sign == 0 && r >= utf8.RuneSelf && !strings.ContainsRune("’‘–—·…«»“”・、。，？\u00A0\u00AD", r):
			sign = r
		default:
			last, sign = 0, 0
		}
	}
	return points / float64(max(count, 1)), count > 0
}

func belongsToText(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r':
		return true
	case r == unicode.ReplacementChar, unicode.Is(unicode.Co, r):
		return false
	}
	return !unicode.IsControl(r)
}

// scriptOf tells the scripts of the guessed charsets apart. Those that words of
// one language mix are one.
func scriptOf(r rune) int {
	for i, script := range [...][]*unicode.RangeTable{
		{unicode.Latin},
		{unicode.Cyrillic},
		{unicode.Han, unicode.Hiragana, unicode.Katakana},
		{unicode.Hangul},
		{unicode.Greek},
		{unicode.Arabic},
		{unicode.Hebrew},
		{unicode.Thai},
	} {
		if unicode.In(r, script...) {
			return i + 1
		}
	}
	return 0
}

// checkUTF8 looks at the start of an input that is taken as UTF-8. whole says
// that the input ends with it. The byte order mark must be gone; base is its
// length.
func checkUTF8(name string, head []byte, base int64, whole bool) error {
	text := head
	if !whole {
		text = text[:len(text)-table.IncompleteTail(text)]
	}
	i := table.FirstInvalid(text)
	if i < 0 {
		return nil
	}
	message := fmt.Sprintf("the byte 0x%02X at offset %d is not UTF-8", head[i], base+int64(i))
	if guess := guessCharset(head); guess != "" {
		message += fmt.Sprintf("; the file looks like %s: --encoding %s", guess, guess)
	} else {
		message += ": name the file's charset with --encoding, or save the file as UTF-8"
	}
	return table.Refuse(name, table.CodeEncoding, int64(table.CountLineEnds(head[:i]))+1, message)
}
