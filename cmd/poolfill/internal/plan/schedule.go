package plan

import (
	"math"
	"time"

	"poolfill/ratelimit"
)

// maxCalendar bounds the days that a Schedule lists.
const maxCalendar = 60

// Schedule is how long the quotas make an upload take, if it starts now and
// every request is answered at once: the least that it can take.
type Schedule struct {
	// Days is the number of days, UTC, on which tasks are sent.
	Days int64 `json:"days"`
	// Tomorrow is whether none is sent today: the day's quota is used up.
	Tomorrow bool `json:"tomorrow"`
	// Seconds is the time from now to the end, the nights between included.
	Seconds float64 `json:"seconds"`
	// End is when the last task is sent, UTC; nil beyond the year 9999.
	End *time.Time `json:"end"`
	// Calendar has the days, the first 60 of them at most.
	Calendar []Day `json:"calendar"`
}

// Day is what is sent on one day, UTC.
type Day struct {
	Date  string    `json:"date"`
	Tasks int64     `json:"tasks"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// pace is how fast tasks pass the quotas.
type pace struct {
	perMinute int64         // 0 = no limit
	perDay    int64         // 0 = no limit
	perTask   time.Duration // what its share of the requests takes
}

// newPace takes the part of a minute that whole chunks can use. Of a chunk that a day
// cuts, what fits is sent.
func newPace(limits ratelimit.Config, c Counts, requests int64) pace {
	whole := func(limit int) int64 {
		if chunk := c.Largest; chunk > 0 && chunk < limit {
			limit -= limit % chunk
		}
		return int64(limit)
	}
	p := pace{perMinute: whole(limits.TasksPerMinute), perDay: int64(limits.TasksPerDay)}
	if limits.RequestsPerSecond > 0 && c.Tasks() > 0 {
		seconds := float64(requests) / limits.RequestsPerSecond / float64(c.Tasks())
		p.perTask = time.Duration(math.Min(seconds, 24*60*60) * float64(time.Second))
	}
	return p
}

// within returns how many tasks can be sent before so much time is over. All of a
// minute's tasks pass at its beginning.
func (p pace) within(left time.Duration) int64 {
	n := int64(math.MaxInt64)
	if p.perMinute > 0 {
		minutes := int64((left + ratelimit.Minute - 1) / ratelimit.Minute)
		if minutes < n/p.perMinute {
			n = minutes * p.perMinute
		}
	}
	if p.perTask > 0 {
		n = min(n, int64(left/p.perTask)+1)
	}
	return n
}

// takes returns how long it takes to send so many tasks within a day.
func (p pace) takes(tasks int64) time.Duration {
	var d time.Duration
	if p.perMinute > 0 {
		d = time.Duration((tasks-1)/p.perMinute) * ratelimit.Minute
	}
	return max(d, time.Duration(tasks)*p.perTask)
}

// ofDay returns how many of the tasks can be sent on a day of which so many are
// used and so much time is left.
func (p pace) ofDay(tasks, used int64, left time.Duration) int64 {
	if p.perDay > 0 {
		tasks = min(tasks, max(0, p.perDay-used))
	}
	return min(tasks, p.within(left))
}

// ScheduleOf returns how long so many tasks in requests of so many each take, of a
// day's quota that is not used yet.
func ScheduleOf(tasks int64, chunk int, limits ratelimit.Config, now time.Time) Schedule {
	c := Counts{General: tasks, Largest: chunk}
	return schedule(tasks, 0, newPace(limits, c, (tasks+int64(chunk)-1)/int64(chunk)), now)
}

const day = 24 * time.Hour

// schedule lays the tasks out over the days from now on, of which so many tasks
// are used today.
func schedule(tasks, used int64, p pace, now time.Time) Schedule {
	now = now.UTC().Truncate(time.Second)
	s := Schedule{Calendar: []Day{}}
	if tasks == 0 {
		s.End = &now
		return s
	}
	send := func(from time.Time, n int64) time.Time {
		until := from.Add(p.takes(n)).Round(time.Second)
		if len(s.Calendar) < maxCalendar {
			s.Calendar = append(s.Calendar, Day{Date: from.Format(time.DateOnly), Tasks: n, From: from, Until: until})
		}
		s.Days++
		tasks -= n
		return until
	}
	midnight := now.Truncate(day).Add(day)
	end := now
	if n := p.ofDay(tasks, used, midnight.Sub(now)); n > 0 {
		end = send(now, n)
	} else {
		s.Tomorrow = true
	}
	// All whole days are alike, so those that are not listed need no loop.
	full := p.ofDay(math.MaxInt64, 0, day)
	for from := midnight; tasks > 0; from = from.Add(day) {
		if len(s.Calendar) == maxCalendar {
			skipped := (tasks - 1) / full
			s.Days += skipped
			tasks -= skipped * full
			const lastYear = 9999
			if skipped > lastYear*366 || from.AddDate(0, 0, int(skipped)).Year() > lastYear {
				s.Days++
				s.Seconds = from.Sub(now).Seconds() + float64(skipped)*day.Seconds() + p.takes(tasks).Seconds()
				return s
			}
			from = from.AddDate(0, 0, int(skipped))
		}
		end = send(from, min(tasks, full))
	}
	s.Seconds = float64(end.Unix() - now.Unix())
	s.End = &end
	return s
}
