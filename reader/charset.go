package reader

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"poolfill/internal/spelling"
	"poolfill/reader/table"
)

// The charsets that are found by their signs.
const (
	charsetUTF8    = "utf-8"
	charsetUTF16LE = "utf-16le"
	charsetUTF16BE = "utf-16be"
)

// charset is how bytes become text.
type charset struct {
	name string
	// bom is the length of the byte order mark to drop.
	bom int
	// decoding is nil for UTF-8.
	decoding encoding.Encoding
}

// detectCharset finds the charset of an input from its first bytes: by a byte
// order mark, by the name that was given, or by the pattern of UTF-16.
// Everything else is taken as UTF-8.
func detectCharset(name string, head []byte, wanted string) (charset, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xFF\xFE\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xFE\xFF")):
		return charset{}, table.Refuse(name, table.CodeEncoding, 0, "the file is UTF-32, which can't be read: save it as UTF-8")
	case bytes.HasPrefix(head, []byte(table.ByteOrderMark)):
		return charset{name: charsetUTF8, bom: len(table.ByteOrderMark)}, nil
	case bytes.HasPrefix(head, []byte("\xFF\xFE")):
		return utf16Charset(unicode.LittleEndian, 2), nil
	case bytes.HasPrefix(head, []byte("\xFE\xFF")):
		return utf16Charset(unicode.BigEndian, 2), nil
	case wanted != "":
		return namedCharset(wanted)
	}
	if order, ok := utf16Pattern(head); ok {
		return utf16Charset(order, 0), nil
	}
	return charset{name: charsetUTF8}, nil
}

func utf16Charset(order unicode.Endianness, bom int) charset {
	name := charsetUTF16LE
	if order == unicode.BigEndian {
		name = charsetUTF16BE
	}
	return charset{name: name, bom: bom, decoding: unicode.UTF16(order, unicode.IgnoreBOM)}
}

// utf16Pattern tells UTF-16 without a byte order mark by its NUL bytes. A task
// file has ASCII in its header at least, whose every second byte is then NUL,
// while the other half has few.
func utf16Pattern(head []byte) (unicode.Endianness, bool) {
	head = head[:min(len(head), 1024)&^1]
	var nuls [2]int
	for i, b := range head {
		if b == 0 {
			nuls[i&1]++
		}
	}
	pairs := len(head) / 2
	switch {
	case pairs > 0 && nuls[1]*10 >= pairs*3 && nuls[0]*4 <= nuls[1]:
		return unicode.LittleEndian, true
	case pairs > 0 && nuls[0]*10 >= pairs*3 && nuls[1]*4 <= nuls[0]:
		return unicode.BigEndian, true
	}
	return unicode.LittleEndian, false
}

// namedCharset finds a charset by its WHATWG name, or a code page of DOS or of
// IBM's large machines by its number. The index of all IANA names in x/text
// knows no more that can be decoded, and takes time at every start.
func namedCharset(wanted string) (charset, error) {
	name := strings.ToLower(strings.TrimSpace(wanted))
	decoding, err := htmlindex.Get(name)
	if err == nil {
		if name, err = htmlindex.Name(decoding); err != nil {
			return charset{}, fmt.Errorf("the encoding %q has no name: %w", wanted, err)
		}
	} else if decoding = codePage(name); decoding == nil {
		hint := ""
		if near := nearCharsets(name); len(near) > 0 {
			hint = "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return charset{}, fmt.Errorf("the encoding %q is not known: give a name such as windows-1251, iso-8859-2 or shift_jis%s", wanted, hint)
	}
	switch name {
	case charsetUTF8:
		return charset{name: name}, nil
	case charsetUTF16LE, "utf-16":
		return utf16Charset(unicode.LittleEndian, 0), nil
	case charsetUTF16BE:
		return utf16Charset(unicode.BigEndian, 0), nil
	case "replacement":
		// What WHATWG makes of charsets that are unsafe to decode.
		return charset{}, fmt.Errorf("the encoding %q can't be decoded: save the file as UTF-8", wanted)
	}
	return charset{name: name, decoding: decoding}, nil
}

// codePage finds a code page by names such as cp850, IBM437 and 1047, or returns
// nil.
func codePage(name string) encoding.Encoding {
	number := strings.TrimLeft(strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz-_"), "0")
	for _, known := range charmap.All {
		_, page, ok := strings.Cut(fmt.Sprint(known), " Code Page ")
		if ok && strings.TrimLeft(page, "0") == number {
			return known
		}
	}
	return nil
}

// nearCharsets lists the names that a mistyped one may have been meant to be.
func nearCharsets(name string) []string {
	names := []string{
		"big5", "euc-jp", "euc-kr", "gb18030", "gbk", "ibm866", "iso-2022-jp", "iso-8859-1", "iso-8859-2", "iso-8859-3",
		"iso-8859-4", "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8", "iso-8859-10", "iso-8859-13", "iso-8859-14",
		"iso-8859-15", "iso-8859-16", "koi8-r", "koi8-u", "macintosh", "shift_jis", "utf-16be", "utf-16le", "utf-8",
		"windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254", "windows-1255", "windows-1256",
		"windows-1257", "windows-1258", "windows-874", "x-mac-cyrillic",
	}
	// Names differ by punctuation and by common prefixes more than by letters:
	// cp1251, win1251 and windows1251 are all meant to be windows-1251.
	letters := func(s string) string {
		s = strings.NewReplacer("-", "", "_", "", " ", "", ".", "").Replace(s)
		for _, prefix := range []string{"cp", "win", "windows", "ms"} {
			if rest := strings.TrimPrefix(s, prefix); rest != s && strings.Trim(rest, "0123456789") == "" {
				return "windows" + rest
			}
		}
		return s
	}
	var near []string
	best := 3 // more mistakes than two are no near name
	for _, known := range names {
		switch d := spelling.Distance(letters(name), letters(known), best+1); {
		case d >= best && len(near) == 0, d > best, d >= len(letters(known)):
		case d < best:
			best, near = d, []string{known}
		case len(near) < 3:
			near = append(near, known)
		}
	}
	return near
}

// decode returns the text of r as UTF-8.
func (c charset) decode(r io.Reader) io.Reader {
	if c.decoding == nil {
		return r
	}
	return transform.NewReader(r, c.decoding.NewDecoder())
}
