package pipeline

import (
	"math"
	"sync"
	"time"

	"poolfill/ratelimit"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// Progress is a look at a run from outside, at one moment.
type Progress struct {
	// Started is zero until the first row is read.
	Started time.Time
	// BytesRead and BytesTotal are of the inputs as they are stored. BytesRead is
	// of the rows that Totals counts, whatever is read ahead: it lags behind where
	// their size is not known yet, as in a small compressed input. BytesTotal is 0
	// where an input's size is unknown.
	BytesRead  int64
	BytesTotal int64
	Totals     Totals
	// InFlight counts the tasks that were given to a worker and have no outcome.
	InFlight int64
	// Stopping is set from the moment that the run takes no new rows.
	Stopping bool
	// Requests counts the requests so far.
	Requests toloka.Stats
	// Gate says what the quota makes the run wait for.
	Gate ratelimit.State
}

// byteScale knows how many of the stored bytes of an input belong to the rows up
// to one of them. What was read of the input says nothing of that, as it is read
// ahead.
type byteScale struct {
	plain bool    // the text is stored as it is
	ratio float64 // of stored bytes to those of the text; 0 where it is unknown
}

func newByteScale(info reader.Info) byteScale {
	if info.Compression == "" && info.Encoding == "utf-8" {
		return byteScale{plain: true, ratio: 1}
	}
	return byteScale{}
}

// tellingBytes is how much of an input has to be read before it shows how well it
// packs: many times of what is read ahead to unpack it.
const tellingBytes = 512 << 10

// learn looks at what was read for the rows up to last. Once all is read, it
// learns nothing more, unless last is the last row.
func (s *byteScale) learn(info reader.Info, last *reader.Row) {
	if end := textEnd(last); !s.plain && end > 0 && (info.Bytes >= tellingBytes && info.Bytes < info.Size || info.SHA256 != "") {
		s.ratio = float64(info.Bytes) / float64(end)
	}
}

func (s *byteScale) until(row *reader.Row) int64 { return int64(float64(textEnd(row)) * s.ratio) }

// textEnd is where the text of a row ends.
func textEnd(row *reader.Row) int64 {
	at, raw := row.Task.Position, row.Task.Raw
	if row.Err != nil {
		at, raw = row.Err.Position, row.Err.Raw
	}
	return at.Offset + int64(len(raw)) + 1 // the line's end
}

// regularly calls look each time that so long has passed as the last call has
// returned, and once more when stop is called, which waits for that.
func regularly(first time.Duration, look func() time.Duration) (stop func()) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		timer := time.NewTimer(first)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				timer.Reset(look())
			case <-quit:
				look()
				return
			}
		}
	})
	return func() {
		close(quit)
		done.Wait()
	}
}

// Outlook is what a person asks a run for.
type Outlook struct {
	// Done counts the rows that have their outcome.
	Done int64
	// Rate is in rows a second, 0 where it is unknown.
	Rate float64
	// Share is the part of all rows that is done, from 0 to 1; 0 where it is
	// unknown, as the size of an input is.
	Share float64
	// Left is how long the rest will take at that rate; 0 where it is unknown.
	Left time.Duration
}

// Outlook says how far the run is at the time now.
//
// The rate is the mean of the whole run: under a quota rows go in bursts, and
// the speed of the last seconds would say nothing about the rest.
func (p Progress) Outlook(now time.Time) Outlook {
	t := p.Totals
	o := Outlook{Done: t.Created + t.Valid + t.Rejected + t.Duplicate + t.Unsent}
	if elapsed := now.Sub(p.Started).Seconds(); !p.Started.IsZero() && elapsed > 0 {
		o.Rate = float64(o.Done) / elapsed
	}
	if p.BytesTotal > 0 && p.BytesRead > 0 && t.Rows > 0 && o.Rate > 0 {
		rows := float64(t.Rows) / float64(p.BytesRead) * float64(p.BytesTotal)
		o.Left = time.Duration(math.Max(0, rows-float64(o.Done)) / o.Rate * float64(time.Second)).Round(time.Second)
		o.Share = math.Min(1, float64(o.Done)/math.Max(1, rows))
	}
	return o
}
