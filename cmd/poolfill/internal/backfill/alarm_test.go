package backfill

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"poolfill/pipeline/ledger"
)

// Only what waiting doesn't fix ends a worker, and only in its own ledger.
func TestTheAlarmIsRaisedWhereWaitingDoesNotHelp(t *testing.T) {
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	full := &ledger.DiskError{Path: l.Path(), Full: true, Err: errors.New("full")}
	damaged := &ledger.DamagedError{Path: l.Path(), Err: errors.New("damaged")}
	for name, tt := range map[string]struct{ err, want error }{
		"a full disk":               {full, full},
		"a full disk, in a chain":   {errors.Join(io.EOF, fmt.Errorf("a segment: %w", full)), full},
		"damage":                    {damaged, damaged},
		"another ledger":            {&ledger.DiskError{Path: "elsewhere", Full: true, Err: io.EOF}, nil},
		"no error":                  {nil, nil},
		"a lost connection":         {io.ErrUnexpectedEOF, nil},
		"a server that starts":      {&pgconn.PgError{Code: "57P03"}, nil},
		"a server's disk":           {&pgconn.PgError{Code: "53100"}, nil},
		"a ledger that is locked":   {&ledger.BusyError{Path: l.Path(), Err: io.EOF}, nil},
		"a segment that is delayed": {&snooze{soon}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAlarm(l)
			a.see(tt.err)
			a.see(tt.err) // which waits for nobody
			var got error
			select {
			case got = <-a.raised:
			default:
			}
			if got != tt.want { //nolint:errorlint // this very one
				t.Errorf("it is raised by %v", got)
			}
		})
	}
}
