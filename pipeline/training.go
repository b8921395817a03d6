package pipeline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"poolfill/reader"
	"poolfill/reader/verdict"
	"poolfill/uploader/toloka"
)

// CodeTrainingPool is that of a training pool, and of tasks that train nobody.
const CodeTrainingPool = "TRAINING_POOL"

// TrainingProblem says why no row of an input can be a task of the pool; nil
// where some can. A pool that is no training pool takes any.
func TrainingProblem(pool toloka.Pool, in reader.Info) *PoolProblem {
	if pool.Type != toloka.PoolTraining {
		return nil
	}
	var lacks []string
	for _, prefix := range []string{"GOLDEN", "HINT"} {
		if !slices.ContainsFunc(in.Targets, func(target string) bool { return strings.HasPrefix(target, prefix) }) {
			lacks = append(lacks, prefix)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	return &PoolProblem{CodeTrainingPool, fmt.Sprintf(
		"pool %s is a training pool, and %s has no %s column: each of its tasks needs a GOLDEN value and a HINT. Take another pool, or add what is missing",
		pool.ID, in.File, strings.Join(lacks, " and no "))}
}

// trainsNobody rejects a task that has no place in a training pool; nil where it
// has, or where the pool is none. The server may take it all the same, and then
// performers are trained by tasks that tell them nothing.
func trainsNobody(pool *toloka.Pool, t *reader.Task) *reader.RowError {
	if pool.Type != toloka.PoolTraining || t.Kind == reader.Training {
		return nil
	}
	return &reader.RowError{
		Position: t.Position,
		Findings: []verdict.Finding{{
			Stage: verdict.StageCheck, Line: t.Position.Line, Code: CodeTrainingPool,
			Message: fmt.Sprintf("pool %s is a training pool, and the row is no training task, which has a GOLDEN value and a HINT: fill both, or take another pool", pool.ID),
		}},
		Raw: bytes.Clone(t.Raw),
	}
}
