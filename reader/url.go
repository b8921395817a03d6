package reader

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// IsURL reports whether an input is named by a URL, and not by a path.
func IsURL(path string) bool {
	scheme, _, found := strings.Cut(path, "://")
	return found && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// Name is what an input is called in positions, messages and reports: its path,
// or its URL without the query and all else that may hold a secret. So URLs that
// differ in their queries only name the same input.
func Name(path string) string {
	if !IsURL(path) {
		return path
	}
	if end := strings.IndexAny(path, "?#"); end >= 0 {
		path = path[:end]
	}
	scheme, rest, _ := strings.Cut(path, "://")
	host, file, slash := strings.Cut(rest, "/")
	name := scheme + "://" + host[strings.LastIndexByte(host, '@')+1:]
	if slash {
		name += "/" + file
	}
	return name
}

// checkAddress says what is wrong with a URL by itself. It says nothing of a URL that
// can't be parsed, in which anything may be a secret.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("an input looks like a URL, and can't be read as one: write characters such as blanks as %20, and no user and password")
	case u.User != nil:
		return fmt.Errorf("%s: a URL can't have a user and a password, as lists of processes would show them: use one that is signed", Name(address))
	case u.Hostname() == "":
		return fmt.Errorf("%s: the URL names no server", Name(address))
	}
	return nil
}

// otherScheme returns the scheme of a URL that the reader has no way to; empty for
// everything else.
func otherScheme(path string) string {
	scheme, _, found := strings.Cut(path, "://")
	letters := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }
	if !found || IsURL(path) || scheme == "" || strings.ContainsFunc(scheme, letters) {
		return ""
	}
	return scheme
}

func otherSchemeError(scheme string) error {
	return fmt.Errorf("%s://…: only http:// and https:// are read: name the file by such a URL, signed if need be, or download it first", scheme)
}
