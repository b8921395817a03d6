package reader

import (
	"bytes"
	"unicode/utf8"

	"poolfill/internal/contract"
)

func (f *field) refuseEnum(text []byte, v *remarks) {
	v.refuse(contract.CodeUnknownEnumValue, "%s is none of the values that the field allows: %s", quoteText(text), f.allowed)
}

// appendOne appends a value that is no array, or one element of an array.
func (f *field) appendOne(dst, text []byte, v *remarks) (out []byte, ok bool) {
	switch f.typ {
	case typeString:
		f.checkString(text, v)
		return appendString(dst, text), true
	case typeInteger, typeFloat:
		return f.appendNumber(dst, text, v)
	case typeBoolean:
		return f.appendBoolean(dst, text, v)
	case typeURL:
		checkURL(text, v)
		return appendString(dst, text), true
	case typeCoordinates:
		checkCoordinates(text, v)
		return appendString(dst, text), true
	case typeJSON:
		return f.appendJSONValue(dst, text, v)
	case typeFile:
		v.refuse(contract.CodeValueNotAllowed, "a field of the type file can't be filled from a task file: leave its cells empty")
		return dst, false
	default:
		return appendString(dst, text), true
	}
}

func (f *field) checkString(text []byte, v *remarks) {
	if f.minLength != nil || f.maxLength != nil {
		n := utf8.RuneCount(text)
		if f.minLength != nil && n < *f.minLength {
			v.refuse(contract.CodeStringLengthLessThanMin, "%s has %d characters, the field needs at least %d", quoteText(text), n, *f.minLength)
		}
		if f.maxLength != nil && n > *f.maxLength {
			v.refuse(contract.CodeStringLengthGreaterThanMax, "the value has %d characters, the field allows at most %d", n, *f.maxLength)
		}
	}
	if f.pattern != nil && !f.pattern.Match(text) {
		v.refuse(contract.CodePatternMismatch, "%s does not match the field's pattern", quoteText(text))
	}
	if f.allowedTexts != nil && !f.allowedTexts[string(text)] {
		f.refuseEnum(text, v)
	}
}

// appendBoolean appends true or false. Blanks around it are no part of it, as
// with numbers.
func (f *field) appendBoolean(dst, text []byte, v *remarks) (out []byte, ok bool) {
	text = trimBlanks(text)
	value := ""
	switch string(text) {
	case "true", "false":
		value = string(text)
	case "TRUE", "True":
		value = "true"
	case "FALSE", "False":
		value = "false"
	default:
		v.refuse(contract.CodeBooleanExpected, "%s is not a boolean: write true or false", quoteText(text))
		return dst, false
	}
	if text[0] != value[0] {
		v.notice(CodeBooleanCase, "TRUE and FALSE in capitals are read as true and false")
	}
	if f.allowedTexts != nil && !f.allowedTexts[value] {
		f.refuseEnum(text, v)
	}
	return append(dst, value...), true
}

// checkURL checks what begins like a web address; the server looks no closer.
// The scheme may be in capitals.
func checkURL(text []byte, v *remarks) {
	if i := indexControl(text); i >= 0 {
		c, _ := utf8.DecodeRune(text[i:])
		v.refuse(contract.CodeInvalidURLSyntax, "%s has the control character %U: remove it", quoteText(text), c)
		return
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) < len(text) {
		v.refuse(contract.CodeInvalidURLSyntax, "%s has blanks around it: remove them", quoteText(text))
		return
	}
	for _, start := range [...]string{"https://", "http://", "www"} {
		if hasPrefixFold(text, start) && len(text) > len(start) {
			return
		}
	}
	v.refuse(contract.CodeInvalidURLSyntax, "%s is not a URL: it must begin with http://, https:// or www and go on after that", quoteText(text))
}

// hasPrefixFold reports whether a text begins with a word in small letters, in
// whichever case.
func hasPrefixFold(text []byte, word string) bool {
	if len(text) < len(word) {
		return false
	}
	for i := range len(word) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// indexControl returns the place of the first control character, or -1.
func indexControl(text []byte) int {
	const del, c1Lead, c1End = 0x7F, 0xC2, 0xA0 // U+0080 to U+009F are C2 80 to C2 9F
	for i, c := range text {
		if ' ' <= c && c < del {
			continue
		}
		if c <= del || c == c1Lead && i+1 < len(text) && text[i+1] < c1End {
			return i
		}
	}
	return -1
}

// checkCoordinates checks "latitude,longitude" in decimal degrees. Blanks
// around both numbers are allowed and passed on as they stand.
func checkCoordinates(text []byte, v *remarks) {
	lat, lon, found := bytes.Cut(text, []byte{','})
	latitude, okLat := parseNumber(trimBlanks(lat))
	longitude, okLon := parseNumber(trimBlanks(lon))
	if !found || !okLat || !okLon || latitude.exponent != nil || longitude.exponent != nil {
		v.refuse(contract.CodeInvalidCoordinatesSyntax, "%s is not a place: write latitude,longitude with decimal points, such as 53.910236,27.531110", quoteText(text))
		return
	}
	const maxLatitude, maxLongitude = 90, 180
	if latitude.within(maxLatitude) && longitude.within(maxLongitude) {
		return
	}
	advice := ""
	if latitude.within(maxLongitude) && longitude.within(maxLatitude) {
		advice = ", latitude comes first"
	}
	v.refuse(contract.CodeInvalidCoordinatesSyntax, "%s is no place on earth: latitude goes from -90 to 90 and longitude from -180 to 180%s", quoteText(text), advice)
}

// appendNumber appends an integer or float. Blanks around it are no part of it.
func (f *field) appendNumber(dst, text []byte, v *remarks) (out []byte, ok bool) {
	text = trimBlanks(text)
	n, ok := parseNumber(text)
	if f.typ == typeInteger {
		if !ok || !n.isInteger() {
			v.refuse(contract.CodeIntegerExpected, "%s is not an integer%s", quoteText(text), integerAdvice(text))
			return dst, false
		}
		if !n.fitsInt64() {
			v.refuse(contract.CodeValueOutOfBounds, "%s is beyond the range of 64-bit integers: use a string field for long ids", quoteText(text))
		}
	} else {
		if !ok {
			v.refuse(contract.CodeFloatExpected, "%s is not a number%s", quoteText(text), floatAdvice(text))
			return dst, false
		}
		if !n.fitsFloat64() {
			v.refuse(contract.CodeValueOutOfBounds, "%s is beyond the range of 64-bit floating point numbers", quoteText(text))
		}
	}
	f.checkBounds(&n, text, v)
	return n.append(dst), true
}

func (f *field) checkBounds(n *number, text []byte, v *remarks) {
	if f.minValue != nil && n.compare(f.minValue) < 0 {
		v.refuse(contract.CodeValueLessThanMin, "%s is less than %s, the least that the field allows", quoteText(text), f.minValue.append(nil))
	}
	if f.maxValue != nil && n.compare(f.maxValue) > 0 {
		v.refuse(contract.CodeValueGreaterThanMax, "%s is more than %s, the most that the field allows", quoteText(text), f.maxValue.append(nil))
	}
	if len(f.allowedNumbers) == 0 {
		return
	}
	for i := range f.allowedNumbers {
		if n.compare(&f.allowedNumbers[i]) == 0 {
			return
		}
	}
	f.refuseEnum(text, v)
}
