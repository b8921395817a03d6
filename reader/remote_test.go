package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// secret stands behind the ? of the tests' URLs, and must show nowhere.
const secret = "SIGNATURE"

// reply is how a site answers one request, which gives the file where nothing is
// set.
type reply struct {
	status int    // instead of the file
	breaks int    // after so many bytes
	part   int    // gives only so many bytes of a range, in good order
	stalls bool   // gives nothing more then, or nothing at all
	hangs  bool   // up without an answer
	etag   string // another one
	text   string // another one
	whole  bool   // whatever range is asked for
	to     string // redirects there
}

// site serves one file over pipes in memory, so that it works in a bubble of
// synctest.
type site struct {
	text           string
	etag, modified string
	noRanges       bool // says so too
	noLength       bool
	noFrame        bool    // the connection's end is the file's
	replies        []reply // of the requests in their order; all others give the file

	mu       sync.Mutex
	ranges   []string // that were asked for, with their conditions
	referers []string
	sent     int
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	how := reply{}
	if n := len(s.ranges); n < len(s.replies) {
		how = s.replies[n]
	}
	s.ranges = append(s.ranges, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	s.referers = append(s.referers, r.Referer())
	s.mu.Unlock()
	text, etag := s.text, s.etag
	if how.text != "" {
		text = how.text
	}
	if how.etag != "" {
		etag = how.etag
	}
	header := w.Header()
	header["Content-Type"] = nil
	switch {
	case how.to != "":
		header.Set("Location", how.to)
		w.WriteHeader(http.StatusFound)
		return
	case how.stalls && how.breaks == 0:
		<-r.Context().Done()
		return
	case how.hangs:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	case how.status != 0:
		w.WriteHeader(how.status)
		return
	}
	if etag != "" {
		header.Set("ETag", etag)
	}
	if s.modified != "" {
		header.Set("Last-Modified", s.modified)
	}
	if !s.noRanges {
		header.Set("Accept-Ranges", "bytes")
	}
	from := 0
	condition := r.Header.Get("If-Range")
	if asked := r.Header.Get("Range"); asked != "" && !s.noRanges && !how.whole && (condition == "" || condition == etag || condition == s.modified) {
		_, _ = fmt.Sscanf(asked, "bytes=%d-", &from)
		if from >= len(text) {
			header.Set("Content-Range", fmt.Sprintf("bytes */%d", len(text)))
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		whole := len(text)
		if how.part > 0 {
			text = text[:min(whole, from+how.part)]
		}
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(text)-1, whole))
	}
	if s.noFrame {
		header.Set("Transfer-Encoding", "identity")
	} else if !s.noLength {
		header.Set("Content-Length", fmt.Sprint(len(text)-from))
	}
	if header.Get("Content-Range") != "" {
		w.WriteHeader(http.StatusPartialContent)
	}
	rest := text[from:]
	if how.breaks > 0 {
		rest = rest[:min(len(rest), how.breaks)]
	}
	n, _ := io.WriteString(w, rest)
	s.mu.Lock()
	s.sent += n
	s.mu.Unlock()
	flusher, _ := w.(http.Flusher)
	flusher.Flush()
	switch {
	case how.stalls:
		<-r.Context().Done()
	case how.breaks > 0:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}

func (s *site) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ranges)
}

// pipes is a network in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, address string) (net.Conn, error) {
	if strings.HasPrefix(address, "unknown.") {
		return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
	}
	if strings.HasPrefix(address, "refused.") {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inNetwork runs a test in a bubble in which a handler is every host.
func inNetwork(t *testing.T, handler http.Handler, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{make(chan net.Conn), make(chan struct{})}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Hour}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(network) })
		before := http.DefaultTransport
		http.DefaultTransport = &http.Transport{DialContext: network.dial}
		defer func() {
			http.DefaultTransport = before
			_ = server.Close()
			serving.Wait()
		}()
		test(t)
	})
}

const siteURL = "http://files.example/dir/a.tsv"

// table makes a file that is far larger than all buffers.
func tableOf(rows int) string {
	var b strings.Builder
	b.WriteString("a\tb\n")
	for i := range rows {
		fmt.Fprintf(&b, "row %d\tan \"%d\" слово\n", i, i*i)
	}
	return b.String()
}

// localFile writes a file, and gives what reading it gives, as if it were the URL.
func localFile(t *testing.T, text, url string, cfg Config) given {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.tsv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := readFile(t, path, cfg)
	for i, row := range g.Rows {
		g.Rows[i] = strings.ReplaceAll(row, path, url)
	}
	g.Err = strings.ReplaceAll(g.Err, path, url)
	return g
}

func TestAURLGivesWhatAFileGives(t *testing.T) {
	const lastModified = "Mon, 23 Nov 2026 10:00:00 GMT"
	for _, form := range storedForms {
		// How a text is stored makes no difference to how it comes; two forms meet
		// all that can happen on the way.
		few := form != "" && form != "gzip"
		var cfg Config
		text := storeAs(t, tableOf(20_000), form, &cfg)
		want := localFile(t, text, siteURL, cfg)
		for what, s := range map[string]*site{
			"whole":         {},
			"ETag":          {etag: `"1"`, replies: []reply{{breaks: 1000}, {breaks: 70_000}, {status: 503}, {hangs: true}, {stalls: true, breaks: 5}, {breaks: 100_000}}},
			"Last-Modified": {modified: lastModified, replies: []reply{{stalls: true, breaks: 90_000}, {breaks: 1}}},
			"in pieces":     {etag: `"1"`, replies: append([]reply{{breaks: 3000}}, slices.Repeat([]reply{{part: 2000}}, 2*readTries)...)},
			"weak ETag":     {etag: `W/"1"`, replies: []reply{{breaks: 100_000}}},
			"both, broken at the end": {
				etag: `"1"`, modified: lastModified, noLength: true, replies: []reply{{breaks: 1 << 30}},
			},
			"no ranges, not broken": {etag: `"1"`, noRanges: true},
		} {
			if few && what != "ETag" {
				continue
			}
			t.Run(form+" "+what, func(t *testing.T) {
				s.text = text
				inNetwork(t, s, func(t *testing.T) {
					got := readFile(t, siteURL+"?x="+secret, cfg)
					if !reflect.DeepEqual(got, want) { // the difference takes long to look for
						t.Errorf("%s\nasked: %q", cmp.Diff(want, got), s.asked())
					}
					if len(s.asked()) < len(s.replies) {
						t.Errorf("only asked %q", s.asked())
					}
				})
			})
		}
	}
}

func TestAURLThatCannotBeReadSaysWhy(t *testing.T) {
	text := tableOf(20_000)
	every := func(r reply) []reply { return slices.Repeat([]reply{r}, 100) }
	for what, test := range map[string]struct {
		site  *site
		url   string // if another
		opens bool
		says  string
		is    error
		asks  int
	}{
		"not found":     {site: &site{replies: every(reply{status: 404})}, says: "no such file (404 Not Found): check the address", is: fs.ErrNotExist, asks: 1},
		"gone":          {site: &site{replies: every(reply{status: 410})}, says: "no such file", is: fs.ErrNotExist, asks: 1},
		"forbidden":     {site: &site{replies: every(reply{status: 403})}, says: "(403 Forbidden): check who may read it, and where the address is signed, make a new one", is: fs.ErrPermission, asks: 1},
		"no login":      {site: &site{replies: every(reply{status: 401})}, says: "(401 Unauthorized)", is: fs.ErrPermission, asks: 1},
		"no content":    {site: &site{replies: every(reply{status: 204})}, says: "doesn't give the file (204 No Content)", asks: 1},
		"fails":         {site: &site{replies: every(reply{status: 502})}, says: "it failed 4 times, the last time as 502 Bad Gateway: try again later", asks: openTries},
		"silent":        {site: &site{replies: every(reply{stalls: true})}, says: "the server can't be reached (it sent nothing for 60 seconds)", asks: openTries},
		"hangs up":      {site: &site{replies: every(reply{hangs: true})}, says: "the server can't be reached (it hung up without an answer)", asks: openTries},
		"hangs up then": {site: &site{etag: `"1"`, replies: append([]reply{{breaks: 100_000}}, every(reply{hangs: true})...)}, opens: true, says: "8 tries to go on failed (it hung up without an answer)", asks: readTries},
		"no such name":  {url: "http://unknown.example/", says: "there is no server of this name: check the address"},
		"refused":       {url: "http://refused.example/", says: "the server can't be reached (connection refused): check the address and the network"},
		"redirects":     {site: &site{replies: every(reply{to: "http://other.example/?" + secret})}, says: "redirects more than 10 times"},
		"to nowhere":    {site: &site{replies: every(reply{to: "http://[" + secret})}, says: "the server redirects to what is no URL"},
		"no ranges":     {site: &site{etag: `"1"`, noRanges: true, replies: []reply{{breaks: 100_000}}}, opens: true, says: "the server can't send the file from byte 100000 on"},
		"no version":    {site: &site{replies: []reply{{breaks: 100_000}}}, opens: true, says: "neither ETag nor Last-Modified", asks: 1},
		"changed":       {site: &site{etag: `"1"`, replies: []reply{{breaks: 100_000}, {etag: `"2"`}}}, opens: true, says: "the file changed while it was read", asks: 2},
		"weak change":   {site: &site{etag: `W/"1"`, replies: []reply{{breaks: 100_000}, {etag: `W/"2"`}}}, opens: true, says: "the file changed while it was read"},
		"grown":         {site: &site{modified: "Mon, 23 Nov 2026 10:00:00 GMT", replies: []reply{{breaks: 100_000}, {text: text + "more\tof it\n"}}}, opens: true, says: "the file changed while it was read"},
		"shrunk":        {site: &site{etag: `W/"1"`, replies: []reply{{breaks: 100_000}, {text: "a\tb\n"}}}, opens: true, says: "the file changed while it was read"},
		"no such range": {site: &site{etag: `"1"`, replies: []reply{{breaks: 100_000}, {status: 416}}}, opens: true, says: "the file changed while it was read"},
		"no frame":      {site: &site{etag: `"1"`, noFrame: true}, says: "doesn't say how long the file is"},
		"no end":        {site: &site{etag: `"1"`, noLength: true, replies: []reply{{breaks: 100_000}, {status: 416}}}, opens: true, says: "the file changed while it was read"},
		"vanished":      {site: &site{etag: `"1"`, replies: []reply{{breaks: 100_000}, {status: 404}}}, opens: true, says: "the server has no such file"},
		"fails halfway": {site: &site{etag: `"1"`, replies: append([]reply{{breaks: 100_000}}, every(reply{status: 500})...)}, opens: true, says: "the connection broke at byte 100000, and 8 tries to go on failed (500 Internal Server Error): run the same command again", asks: readTries},
	} {
		t.Run(what, func(t *testing.T) {
			s := &site{}
			if test.site != nil {
				s = test.site
			}
			s.text = text
			url := siteURL
			if test.url != "" {
				url = test.url
			}
			inNetwork(t, s, func(t *testing.T) {
				r, err := Open(t.Context(), url+"?x="+secret, nil, Config{})
				if opened := err == nil; opened != test.opens {
					t.Errorf("opening gives %v", err)
				}
				for err == nil {
					_, err = r.Next()
				}
				if r != nil {
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				}
				text := err.Error()
				if !strings.HasPrefix(text, url+": ") || !strings.Contains(text, test.says) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
					t.Errorf("got %q, want %q", text, test.says)
				}
				if test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("%v is not %v", err, test.is)
				}
				if asked := s.asked(); test.asks != 0 && len(asked) != test.asks {
					t.Errorf("asked %d times: %q", len(asked), asked)
				}
			})
		})
	}
}

func TestAURLIsGoneOnWithUnderItsCondition(t *testing.T) {
	const lastModified = "Mon, 23 Nov 2026 10:00:00 GMT"
	for want, s := range map[string]*site{
		`bytes=100000- "1"`:              {etag: `"1"`, modified: lastModified},
		"bytes=100000- " + lastModified:  {modified: lastModified},
		"bytes=100000-  " + lastModified: {etag: `W/"1"`, modified: lastModified},
		"bytes=100000-":                  {etag: `W/"1"`},
	} {
		s.text, s.replies = tableOf(20_000), []reply{{breaks: 100_000}}
		inNetwork(t, s, func(t *testing.T) {
			if g := readFile(t, siteURL, Config{}); g.Err != "*errors.errorString EOF" {
				t.Error(g.Err)
			}
			if got := s.asked(); len(got) != 2 || got[1] != strings.ReplaceAll(want, "  ", " ") {
				t.Errorf("asked %q, want %q", got, want)
			}
		})
	}
}

func TestSegmentsOfAURLAreTheWhole(t *testing.T) {
	for what, test := range map[string]struct {
		site   *site
		form   string
		ranged bool
	}{
		"plain":        {&site{etag: `"1"`}, "", true},
		"broken":       {&site{etag: `"1"`, replies: []reply{{breaks: 70_000}, {breaks: 70_000}, {breaks: 70_000}, {}, {breaks: 70_000}, {breaks: 70_000}}}, "", true},
		"BOM":          {&site{modified: "Mon, 23 Nov 2026 10:00:00 GMT"}, "BOM", true},
		"gzip":         {&site{etag: `"1"`}, "gzip", false},
		"windows-1251": {&site{etag: `"1"`}, "windows-1251", false},
		"no ranges":    {&site{etag: `"1"`, noRanges: true}, "", false},
		"no version":   {&site{}, "", false},
	} {
		t.Run(what, func(t *testing.T) {
			s := test.site
			var cfg Config
			s.text = storeAs(t, tableOf(20_000), test.form, &cfg)
			inNetwork(t, s, func(t *testing.T) {
				segments := checkSegments(t, siteURL, cfg, 3000)
				if len(segments) != 7 {
					t.Errorf("%d segments", len(segments))
				}
				s.sent = 0
				last := readFile(t, siteURL, segments[6].Config(cfg))
				if len(last.Rows) != 2000 {
					t.Errorf("%d rows, %s", len(last.Rows), last.Err)
				}
				if got := s.sent < len(s.text)/2; got != test.ranged {
					t.Errorf("%d of %d bytes were sent for the last segment: %q", s.sent, len(s.text), s.asked())
				}
			})
		})
	}
}

// What is known of the text before the mark may be of more than the first read
// behind it gives.
func TestSegmentsOfAURLThatComesInDropsAreTheWhole(t *testing.T) {
	s := &site{text: tableOf(30), etag: `"1"`, replies: slices.Repeat([]reply{{breaks: 25}}, 1000)}
	inNetwork(t, s, func(t *testing.T) {
		if segments := checkSegments(t, siteURL, Config{}, 7); len(segments) != 5 {
			t.Errorf("%d segments", len(segments))
		}
	})
}

func TestAMarkThatDoesNotFitAURLIsAnError(t *testing.T) {
	s := &site{text: tableOf(20_000), etag: `"1"`}
	inNetwork(t, s, func(t *testing.T) {
		for mark, says := range map[Mark]string{
			{Offset: int64(len(s.text)) + 1, Line: 3, Record: 2}: "behind its end",
			{Offset: int64(len(s.text)), Line: 3, Record: 2}:     "as there is none",
			{Offset: 200_001, Line: 3, Record: 2}:                "inside a line",
		} {
			g := readFile(t, siteURL, Config{From: &mark})
			if !strings.Contains(g.Err, says) || !strings.Contains(g.Err, siteURL+": row 2") {
				t.Errorf("%+v: %s", mark, g.Err)
			}
		}
	})
}

// A reader that waits for a server ends at once with its context, and with Close.
func TestAWaitForAServerCanBeBrokenOff(t *testing.T) {
	for _, parallel := range []int{1, 3} {
		for _, closes := range []bool{false, true} {
			s := &site{text: tableOf(20_000), etag: `"1"`, replies: []reply{{stalls: true, breaks: headSize + 1000}}}
			inNetwork(t, s, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r, err := Open(ctx, siteURL, nil, Config{Parallel: parallel})
				if err != nil {
					t.Fatal(err)
				}
				begun, most := time.Now(), time.Duration(0)
				if closes && parallel > 1 {
					if _, err := r.Next(); err != nil {
						t.Error(err)
					}
					synctest.Wait()
				} else {
					most = time.Second
					time.AfterFunc(most, cancel)
					for err == nil {
						_, err = r.Next()
					}
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
				if waited := time.Since(begun); waited > most {
					t.Errorf("waited %v", waited)
				}
			})
		}
	}
}

func TestWhatIsBehindARedirectIsRead(t *testing.T) {
	s := &site{text: tableOf(10), etag: `"1"`, replies: []reply{{to: "http://other.example/b?sig=" + secret}}}
	inNetwork(t, s, func(t *testing.T) {
		want := localFile(t, s.text, siteURL, Config{})
		if diff := cmp.Diff(want, readFile(t, siteURL+"?x="+secret, Config{})); diff != "" {
			t.Error(diff)
		}
		if got := strings.Join(s.referers, ""); got != "" {
			t.Errorf("the next server is told of %s", got)
		}
	})
}

func TestTheIdentityOfAURLIsThatOfItsVersion(t *testing.T) {
	s := &site{text: tableOf(10)}
	inNetwork(t, s, func(t *testing.T) {
		identify := func(url string) Identity {
			t.Helper()
			id, err := Identify(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		if id := identify(siteURL); id.Known() || id.Equal(identify(siteURL)) || id.Size != int64(len(s.text)) {
			t.Errorf("without a version it is %+v", id)
		}
		var seen []Identity
		for _, version := range []*site{
			{etag: `"1"`, text: tableOf(10)},
			{etag: `"2"`, text: tableOf(10)},
			{etag: `"2"`, text: tableOf(11)},
			{text: tableOf(11), modified: "Mon, 23 Nov 2026 10:00:00 GMT"},
			{text: tableOf(11), modified: "Mon, 23 Nov 2026 10:00:01 GMT"},
			{text: tableOf(11), modified: "Mon, 23 Nov 2026 10:00:01 GMT", noLength: true},
		} {
			s.etag, s.text, s.modified, s.noLength = version.etag, version.text, version.modified, version.noLength
			id := identify(siteURL + "?sig=1")
			if !id.Equal(identify(siteURL+"?sig=2")) || id.Equal(identify(siteURL+".other")) {
				t.Errorf("%+v is not that of its name", id)
			}
			if slices.ContainsFunc(seen, id.Equal) {
				t.Errorf("%+v is that of another version", id)
			}
			seen = append(seen, id)
		}
	})
}

func TestTheNameOfAURLHoldsNoSecret(t *testing.T) {
	for url, want := range map[string]string{
		"https://h/a.tsv":                   "https://h/a.tsv",
		"HTTP://h:80/a%20b.tsv?sig=s#f":     "HTTP://h:80/a%20b.tsv",
		"https://h?sig=s":                   "https://h",
		"https://h/#s":                      "https://h/",
		"https://user:s@h/a@b.tsv":          "https://h/a@b.tsv",
		"https://u:s@s@h/a.tsv?s=http://s/": "https://h/a.tsv",
		"a.tsv?x#y":                         "a.tsv?x#y",
		"-":                                 "-",
		"C:\\a.tsv":                         "C:\\a.tsv",
	} {
		if got := Name(url); got != want {
			t.Errorf("%s is called %s, want %s", url, got, want)
		}
	}
}

func TestURLsThatCannotBeAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"https://user:" + secret + "@h/a.tsv", "can't have a user and a password"},
		{"https://" + secret + "@h/a.tsv", "can't have a user and a password"},
		{"https://user:" + secret + "/x@h/a.tsv", "can't be read as one"},
		{"https://h:" + secret + "/a.tsv", "can't be read as one"},
		{"https:///a.tsv?" + secret, "names no server"},
		{"s3://bucket/" + secret, "only http:// and https:// are read"},
		{"gs://bucket/*" + secret, "only http:// and https:// are read"},
		{"https://h/a?" + secret, "https://h/a?" + secret + "2", "two URLs have this name"},
	} {
		says := args[len(args)-1]
		got, err := Expand(args[:len(args)-1])
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q gives %q, %v", args, got, err)
		}
		if !IsURL(args[0]) || len(args) > 2 {
			continue
		}
		_, err = Open(t.Context(), args[0], nil, Config{})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%q can be opened: %v", args, err)
		}
	}
	got, err := Expand([]string{"https://h/*[a].tsv?x=*", "https://h/b", "https://h/b"})
	if want := []string{"https://h/*[a].tsv?x=*", "https://h/b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

// What has no delimiter in its header is taken as what the URL's path says.
func TestTheDelimiterIsGuessedByTheNameOfAURL(t *testing.T) {
	inNetwork(t, &site{text: "a\n1,2\n"}, func(t *testing.T) {
		for url, want := range map[string]byte{"http://h/a.csv?x=1.tsv": ',', "http://h/a?x=1.csv": '\t'} {
			r, err := Open(t.Context(), url, nil, Config{})
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Info(); got.Delimiter != want || got.File != Name(url) {
				t.Errorf("%s: %+v", url, got)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
