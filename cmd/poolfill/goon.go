package main

import (
	"errors"
	"fmt"

	"poolfill/internal/contract"
	"poolfill/pipeline"
	"poolfill/pipeline/ledger"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// goOn says beside the error of an upload how to go on: by the same command, or
// by what has to be done first where that can't succeed.
func goOn(err error, cfg *pipeline.Config, state pipeline.State, done *prefix) error {
	var (
		refused *toloka.Error
		differs *differenceError
		damaged *ledger.DamagedError
	)
	switch {
	case errors.As(err, &differs):
		return err // tasks can't be taken back
	case errors.As(err, &refused) && refused.Code == contract.CodePoolTasksCountExceeded:
		return advise(err, elsewhere(cfg, done))
	case errors.As(err, &damaged):
		return err // which says what to do first
	case state == pipeline.Stopped:
		return err // by a rule of the user's, which would stop it again; it says what to do
	}
	return &unfinishedError{err, cfg.Command}
}

// elsewhere says how the rows that a full pool left over get into other ones.
func elsewhere(cfg *pipeline.Config, done *prefix) string {
	backfill := func(file string) string {
		return fmt.Sprintf("'poolfill backfill start %s --pool-template %s', which clones pools as they fill up", file, cfg.PoolID)
	}
	if len(cfg.Files) != 1 || cfg.Files[0] == "-" || cfg.Reader.LimitRows > 0 || done.broken {
		return "results.tsv says row by row which ones are unsent: put those into a file of their own, and upload it with " + backfill("FILE")
	}
	file := commandLine(withoutQueries(cfg.Files))
	if done.rows == 0 {
		return fmt.Sprintf("To upload the rows elsewhere, with the same other settings: 'poolfill upload %s --pool ANOTHER', or %s", file, backfill(file))
	}
	return fmt.Sprintf("To upload the rest, with the same other settings: 'poolfill upload %s --pool ANOTHER --skip-rows %d'; or put it into a file of its own, and upload that with %s",
		file, done.rows, backfill("FILE"))
}

// prefix finds the rows at the beginning of a file that are done with. It is
// told of the rows in the file's order.
type prefix struct {
	rows   int64 // all rows up to this one have another outcome than unsent
	ended  bool  // an unsent row was seen
	broken bool  // and a row after it that is not
}

func (p *prefix) add(results []verdict.Verdict) {
	for i := range results {
		switch r := &results[i]; {
		case r.Status == verdict.Unsent:
			p.ended = true
		case p.ended:
			p.broken = true
		default:
			p.rows = r.Position.Record
		}
	}
}
