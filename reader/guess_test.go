package reader

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestACharsetIsGuessedFromTheWords(t *testing.T) {
	const (
		russian   = "INPUT:text\tid\nКошка сидит на окне и смотрит во двор\t17\nЭто фотография товара?\t18\n"
		polish    = "name\tINPUT:text\nŁódź\tGdzie są książki, które już przeczytałeś?\n"
		czech     = "name\tINPUT:text\nPraha\tPříliš žluťoučký kůň úpěl ďábelské ódy\n"
		turkish   = "name\tINPUT:text\nİstanbul\tKedi pencerenin önünde oturuyor, dışarıya bakıyor mu değil mi\n"
		japanese  = "id\tINPUT:text\n1\tこの写真には猫が写っていますか。カメラのレビューです\n"
		ukrainian = "id\tINPUT:text\n1\tЧи є на світлині кіт? Її господар живе у місті\n"
	)
	for name, c := range map[string]struct {
		text    string
		charset string
	}{
		"Russian":             {russian, "windows-1251"},
		"Russian KOI8":        {russian, "koi8-r"},
		"Russian DOS":         {russian, "ibm866"},
		"Russian Mac":         {russian, "x-mac-cyrillic"},
		"Russian ISO":         {russian, "iso-8859-5"},
		"a Russian word":      {"a\tb\n1\tпривет\n", "windows-1251"},
		"capitals":            {"a\tb\n1\tКУПИТЬ БИЛЕТ В МОСКВУ\n", "windows-1251"},
		"KOI8 capitals":       {"a\tb\n1\tКУПИТЬ БИЛЕТ В МОСКВУ\n", "koi8-r"},
		"Ukrainian":           {ukrainian, "windows-1251"},
		"Ukrainian KOI8":      {ukrainian, "koi8-u"},
		"a French word":       {"a\tb\n1\tcafé\n", "windows-1252"},
		"French":              {"a\tb\n1\tOù est la bibliothèque ? Là, à côté de l’école où j’ai étudié.\n", "windows-1252"},
		"German":              {"a\tb\n1\tDie größte Straße führt über die Brücke\n", "windows-1252"},
		"a German word":       {"a\tb\n1\tÄpfel\n", "windows-1252"},
		"Spanish":             {"a\tb\n1\t¿Dónde está el niño mañana?\n", "windows-1252"},
		"Danish":              {"a\tb\n1\tRødgrød med fløde på åen, sagde kæresten\n", "windows-1252"},
		"prices":              {"a\tb\n1\tpiano lessons 25 €\n2\tset of 4 café chairs, 99 €\n", "windows-1252"},
		"French Mac":          {"a\tb\n1\tLe café où j’ai étudié est près de l’école\n", "macintosh"},
		"Italian":             {"a\tb\n1\tPerché no? È più facile così, però è già tardi\n", "windows-1252"},
		"Portuguese":          {"a\tb\n1\tNão há informações disponíveis para esta localização\n", "windows-1252"},
		"smart quotes":        {"a\tb\n1\t“Smart quotes” – and it’s fine…\n", "windows-1252"},
		"signs":               {"a\tb\n1\t20°C and 5 µm © 2024 £30\n", "windows-1252"},
		"answers":             {"a\tb\nhttp://a/b.jpg\tда\nhttp://a/c.jpg\tнет\n", "windows-1251"},
		"answers KOI8":        {"a\tb\nhttp://a/b.jpg\tда\nhttp://a/c.jpg\tнет\n", "koi8-r"},
		"answers DOS":         {"a\tb\nhttp://a/b.jpg\tда\nhttp://a/c.jpg\tнет\n", "ibm866"},
		"Hungarian":           {"a\tb\n1\tÁrvíztűrő tükörfúrógép és őszi eső\n", "windows-1250"},
		"a Hebrew greeting":   {"a\tb\n1\tשלום עולם, מה שלומך היום\n", "windows-1255"},
		"a Chinese review":    {"a\tb\n1\t商品质量很好，快递很快，下次还来购买\n", "gb18030"},
		"a Korean review":     {"a\tb\n1\t안녕하세요. 상품이 아주 좋습니다\n", "euc-kr"},
		"a Japanese review":   {"a\tb\n1\t東京駅までどのくらいかかりますか\n2\t商品の色が違います\n", "shift_jis"},
		"Polish":              {polish, "windows-1250"},
		"Polish ISO":          {polish, "iso-8859-2"},
		"Czech":               {czech, "windows-1250"},
		"Turkish":             {turkish, "windows-1254"},
		"Greek":               {"id\tINPUT:text\n1\tΥπάρχει γάτα στη φωτογραφία; Ναι, κάθεται στο παράθυρο\n", "windows-1253"},
		"Hebrew":              {"id\tINPUT:text\n1\tהאם יש חתול בתמונה? הוא יושב ליד החלון\n", "windows-1255"},
		"Arabic":              {"id\tINPUT:text\n1\tهل توجد قطة في الصورة؟ نعم، تجلس أمام النافذة\n", "windows-1256"},
		"Thai":                {"id\tINPUT:text\n1\tในภาพนี้มีแมวหรือไม่ แมวนั่งอยู่ที่หน้าต่าง\n", "windows-874"},
		"Japanese":            {japanese, "shift_jis"},
		"Japanese EUC":        {japanese, "euc-jp"},
		"Korean":              {"id\tINPUT:text\n1\t이 사진에 고양이가 있습니까? 창문 앞에 앉아 있는 고양이입니다\n", "euc-kr"},
		"Chinese":             {"id\tINPUT:text\n1\t这张照片里有猫吗？它坐在窗户前面看着外面的人\n", "gb18030"},
		"traditional Chinese": {"id\tINPUT:text\n1\t這張照片裡有貓嗎？牠坐在窗戶前面看著外面的人\n", "big5"},
	} {
		t.Run(name, func(t *testing.T) {
			known, err := namedCharset(c.charset)
			if err != nil {
				t.Fatal(err)
			}
			stored, err := known.decoding.NewEncoder().String(c.text)
			if err != nil {
				t.Fatal(err)
			}
			for repeated := range 2 {
				text := []byte(strings.Repeat(stored, 1+20*repeated))
				if got := guessCharset(text); got != c.charset {
					t.Errorf("%d bytes: got %q", len(text), got)
				}
			}
		})
	}
}

func TestWhatIsNoTextHasNoCharset(t *testing.T) {
	if got := guessCharset([]byte("\x80\xFF\x81\x8D\x00\x98\xFE\xAA\xD5\x9D\xA5 \x90")); got != "" {
		t.Errorf("got %q", got)
	}
}

// A guess that can't decode the text would send the user astray.
func FuzzAGuessDecodesTheText(f *testing.F) {
	f.Add([]byte("caf\xE9"))
	f.Add([]byte("\xCF\xF0\xE8\xE2\xE5\xF2"))
	f.Add([]byte("\x82\xB1\x82\xCC"))
	f.Fuzz(func(t *testing.T, text []byte) {
		name := guessCharset(text)
		if name == "" {
			return
		}
		c, err := namedCharset(name)
		if err != nil || c.decoding == nil {
			t.Fatalf("%q is no charset to decode: %v", name, err)
		}
		decoded, err := c.decoding.NewDecoder().Bytes(text)
		if err != nil || !utf8.Valid(decoded) || strings.Contains(strings.TrimSuffix(string(decoded), "\uFFFD"), "\uFFFD") {
			t.Errorf("%q: %q, %v", name, decoded, err)
		}
	})
}
