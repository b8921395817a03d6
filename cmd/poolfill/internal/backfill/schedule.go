package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
	"go.uber.org/zap"
)

// Scheduled is an upload that comes again.
type Scheduled struct {
	Name string
	// Cron is a cron expression of five fields, Zone the time zone in which it is
	// meant, such as Europe/Berlin; empty is UTC.
	Cron, Zone string
	// Args are the arguments of 'poolfill upload'.
	Args []string
	// Server is the server that it uploads to.
	Server string
	Made   time.Time
	// Due is the last time for which a run was begun, or the time at which the
	// schedule was made. Begun and Ended are those of the last run,
	// zero where there is none; Run is its name and Result what became of it.
	Due, Begun, Ended time.Time
	Run, Result       string
}

// Outcome is what a scheduled upload came to.
type Outcome struct {
	Run     string // in the ledger; empty where nothing was to be done
	Summary string
	Until   time.Time // set where the run goes on then: the day's quota is used up, or it was interrupted
}

// Next returns the first time after another at which the upload is due.
func (s Scheduled) Next(after time.Time) (time.Time, error) {
	zone := time.UTC
	if s.Zone != "" {
		var err error
		if zone, err = time.LoadLocation(s.Zone); err != nil {
			return time.Time{}, fmt.Errorf("there is no time zone %q: name one such as Europe/Berlin", s.Zone)
		}
	}
	expression, err := cron.ParseStandard(s.Cron)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no cron expression: %s. "+
			"It has minute, hour, day of the month, month and day of the week, such as '0 3 * * *' for each day at 3:00", s.Cron, cronProblem(s.Cron))
	}
	next := expression.Next(after.In(zone))
	if next.IsZero() {
		return next, fmt.Errorf("the cron expression %q never comes true", s.Cron)
	}
	return next, nil
}

// cronProblem returns which field of a cron expression can't be, as the parser's own
// errors name none.
func cronProblem(expression string) string {
	parts := strings.Fields(expression)
	switch {
	case strings.Contains(expression, "TZ="):
		return "the time zone is no part of it, but goes into --zone"
	case len(parts) > 0 && strings.HasPrefix(parts[0], "@"):
		return "the words with @ are @hourly, @daily, @weekly, @monthly, @yearly and @every 90m"
	}
	ranges := []string{
		"minute goes from 0 to 59", "hour goes from 0 to 23", "day of the month goes from 1 to 31",
		"month goes from 1 to 12, or JAN to DEC", "day of the week goes from 0 (Sunday) to 6, or SUN to SAT",
	}
	if len(parts) != len(ranges) {
		return fmt.Sprintf("it should have five parts with blanks between them, and has %d", len(parts))
	}
	var wrong []string
	for i, part := range parts {
		alone := []string{"*", "*", "*", "*", "*"}
		alone[i] = part
		if _, err := cron.ParseStandard(strings.Join(alone, " ")); err != nil {
			wrong = append(wrong, fmt.Sprintf("%q can't be, as the %s", part, ranges[i]))
		}
	}
	return strings.Join(wrong, "; ")
}

// scheduleArgs are what River knows of a scheduled upload.
type scheduleArgs struct {
	Schedule string    `json:"schedule"`
	Due      time.Time `json:"due"`
}

func (scheduleArgs) Kind() string { return fmt.Sprintf("poolfill_schedule_%d", format) }

// syncEvery is how often a worker looks whether a schedule is due.
const syncEvery = 10 * time.Second

// scheduler queues the jobs of scheduled uploads that are due, and carries them out.
// Each worker of a schedule's server does so: a job is that of a schedule and a
// time, of which River takes one. (River's own periodic jobs are those of one
// worker, which may be another server's, and are lost with it.) Times that were
// missed, as no worker was there, become one run when there is one again.
type scheduler struct {
	schedules schedules
	queue     scheduleQueue
	upload    func(context.Context, Scheduled) (Outcome, error)
	server    string
	log       *zap.Logger
	alarm     *alarm
}

// scheduleQueue takes the jobs of scheduled uploads. One that it has is not added
// again.
type scheduleQueue interface {
	insertScheduled(context.Context, scheduleArgs) error
}

// run queues what is due until ctx ends.
func (s *scheduler) run(ctx context.Context) {
	if s.upload == nil {
		return
	}
	repeat(ctx, syncEvery, nil, func() error { return s.sync(ctx, time.Now()) }, func(err error) {
		s.alarm.see(err)
		s.log.Warn("looking after the schedules failed and is tried again", zap.Error(err))
	})
}

// sync queues what is due now.
func (s *scheduler) sync(ctx context.Context, now time.Time) error {
	all, err := s.schedules.all(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, one := range all {
		if one.Server != s.server {
			continue
		}
		due, err := lastMissed(one, now)
		if err == nil && !due.IsZero() {
			err = s.queue.insertScheduled(ctx, scheduleArgs{one.Name, due.UTC()})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("schedule %s: %w", one.Name, err))
		}
	}
	return errors.Join(errs...)
}

// lastMissed returns the last time until now that is due and was not begun, or zero
// where there is none.
func lastMissed(s Scheduled, now time.Time) (due time.Time, err error) {
	// It is looked back further and further, so that a schedule that was left alone
	// for years is not gone through minute by minute.
	from := s.Due
	for back := time.Hour; back < now.Sub(s.Due); back *= 2 {
		next, err := s.Next(now.Add(-back))
		if err != nil {
			return due, err
		}
		if !next.After(now) {
			from = now.Add(-back)
			break
		}
	}
	for {
		next, err := s.Next(from)
		if err != nil || next.After(now) {
			return due, err
		}
		from, due = next, next
	}
}

// work carries out a scheduled upload. A *snooze asks for it again.
func (s *scheduler) work(ctx context.Context, a scheduleArgs, _ int) error {
	one, err := s.schedules.find(ctx, a.Schedule)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil // it was removed
	case err != nil:
		return err
	case s.upload == nil || one.Server != s.server:
		return &snooze{later} // until a worker of that server has it
	}
	one.Due, one.Begun, one.Ended, one.Run, one.Result = a.Due, time.Now(), time.Time{}, "", "running"
	if begun, err := s.schedules.begin(ctx, one); err != nil || !begun {
		return err // where it didn't, a later one has, or the schedule was changed
	}
	o, failed := s.upload(ctx, one)
	one.Ended, one.Run, one.Result = time.Now(), o.Run, o.Summary
	if failed != nil {
		one.Result = "failed: " + failed.Error()
	}
	if err := s.schedules.note(context.WithoutCancel(ctx), one); err != nil {
		return errors.Join(failed, err)
	}
	if !o.Until.IsZero() {
		return &snooze{time.Until(o.Until)}
	}
	return failed
}

const scheduleColumns = `name, cron, zone, args, server, made, due, last_begun, last_ended, last_run, last_result`

func (s *Scheduled) fields() []any {
	at := func(t *time.Time) instant { return instant{t, time.Millisecond} }
	return []any{&s.Name, &s.Cron, &s.Zone, jsonText{&s.Args}, &s.Server, at(&s.Made), at(&s.Due), at(&s.Begun), at(&s.Ended), &s.Run, &s.Result}
}

// schedules has what is stored of uploads that come again. It is safe for concurrent
// use.
type schedules struct{ database }

func (s schedules) all(ctx context.Context) ([]Scheduled, error) {
	return list(ctx, s.db, (*Scheduled).fields, `SELECT `+scheduleColumns+` FROM schedule ORDER BY name`)
}

// find returns the upload of a name. Without one the error is ErrUnknown.
func (s schedules) find(ctx context.Context, name string) (Scheduled, error) {
	found, err := one(ctx, s.db, (*Scheduled).fields, `SELECT `+scheduleColumns+` FROM schedule WHERE name = $1`, name)
	if errors.Is(err, sql.ErrNoRows) {
		err = &unknownError{"schedule", name}
	}
	return found, err
}

// set stores an upload, or changes the one of its name.
func (s schedules) set(ctx context.Context, one Scheduled) error {
	now := time.Now()
	if _, err := one.Next(now); err != nil {
		return err
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO schedule (name, cron, zone, args, server, made, due, last_begun, last_ended, last_run, last_result)
		VALUES ($1, $2, $3, $4, $5, $6, $6, 0, 0, '', '')
		ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, zone = excluded.zone, args = excluded.args, server = excluded.server, made = excluded.made, due = excluded.due`,
		one.Name, one.Cron, one.Zone, jsonText{one.Args}, one.Server, millis(now))
	return err
}

func (s schedules) remove(ctx context.Context, name string) error {
	removed, err := changed(s.db.ExecContext(ctx, `DELETE FROM schedule WHERE name = $1`, name))
	if err == nil && !removed {
		err = &unknownError{"schedule", name}
	}
	return err
}

// begin notes that a run begins for the time that is due. It reports whether it
// may: the time doesn't go back.
func (s schedules) begin(ctx context.Context, one Scheduled) (bool, error) {
	return changed(s.db.ExecContext(ctx, `UPDATE schedule SET due = $1, last_begun = $2, last_ended = 0, last_run = '', last_result = $3 WHERE name = $4 AND due <= $1`,
		millis(one.Due), millis(one.Begun), one.Result, one.Name))
}

// note keeps what became of a scheduled upload. The time that is due isn't touched:
// it is that of a later run, or of another expression, where one came meanwhile.
func (s schedules) note(ctx context.Context, one Scheduled) error {
	_, err := s.db.ExecContext(ctx, `UPDATE schedule SET last_begun = $1, last_ended = $2, last_run = $3, last_result = $4 WHERE name = $5`,
		millis(one.Begun), millis(one.Ended), one.Run, s.ledger.Text(one.Result), one.Name)
	return err
}
