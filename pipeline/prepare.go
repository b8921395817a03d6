package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"poolfill/internal/contract"
	"poolfill/pipeline/ledger"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// prepared is what is found out before a task is sent.
type prepared struct {
	// pool is empty where the server was not asked about it.
	pool toloka.Pool
	// reading is how inputs are read, with the project's spec.
	reading reader.Config
	// stdin is standard input, which can't be opened twice; nil where it is no input,
	// or was given away.
	stdin *reader.Reader
	// small says of each input whether it may share chunks with others that are.
	small []bool
	// order has the numbers of the inputs as they are read.
	order []int
	// ledger is nil where there is none.
	ledger *ledger.Ledger
}

// overlap is what the pool gives a task that has none of its own; 0 where it is unknown.
func (r *prepared) overlap() int { return r.pool.Defaults.OverlapForNewTasks }

// close closes what nobody has taken.
func (r *prepared) close() error {
	if r.stdin == nil {
		return nil
	}
	return r.stdin.Close()
}

// takeStdin returns standard input where that is the input of this name, and else
// nil. It is the taker's to close.
func (r *prepared) takeStdin(name string) *reader.Reader {
	if name != stdinName {
		return nil
	}
	in := r.stdin
	r.stdin = nil
	return in
}

// preparation finds everything that can be found before a task is sent: whether the
// pool takes tasks, what its spec is, and whether every header fits it. The
// ledger is opened meanwhile; what fails first ends the other.
type preparation struct {
	set    *settings
	client *toloka.Client
	books  *books
	ready  prepared
}

func (p *preparation) run(ctx context.Context) (*prepared, error) {
	p.ready.reading, p.ready.ledger = p.set.Reader, p.set.Ledger
	p.ready.reading.Contents = p.set.check == nil
	group, ctx := errgroup.WithContext(ctx)
	if p.set.OpenLedger != nil {
		group.Go(func() (err error) {
			p.ready.ledger, err = p.set.OpenLedger(ctx)
			return err
		})
	}
	group.Go(func() error { return p.consult(ctx) })
	if err := group.Wait(); err != nil {
		return nil, errors.Join(err, p.ready.close())
	}
	return &p.ready, nil
}

// consult asks the server, then looks at the inputs.
func (p *preparation) consult(ctx context.Context) error {
	if p.set.PoolID != "" {
		if err := p.consultPool(ctx); err != nil {
			return err
		}
	}
	return p.consultInputs(ctx)
}

// consultPool asks the server about the pool and takes the spec from its
// project.
func (p *preparation) consultPool(ctx context.Context) error {
	pool, err := p.client.Pool(ctx, p.set.PoolID)
	if err != nil {
		return setupUnlessPassing(err)
	}
	if problems := PoolProblems(pool); len(problems) > 0 && p.set.check == nil {
		return &SetupError{problems[0]}
	}
	p.ready.pool = pool
	if p.set.NoSpec || p.set.Reader.Spec != nil {
		return nil
	}
	project, err := p.client.Project(ctx, pool.ProjectID)
	if err != nil {
		return setupUnlessPassing(err)
	}
	p.ready.reading.Spec = &project.TaskSpec
	return nil
}

// setupUnlessPassing makes a *SetupError of an answer that asks for a change, and
// not of a server that has no answer just now.
func setupUnlessPassing(err error) error {
	var api *toloka.Error
	if errors.As(err, &api) && api.Status != 0 && !api.Retryable() {
		return &SetupError{err}
	}
	return err
}

// PoolProblem is a reason why a pool can't be filled.
type PoolProblem struct {
	Code    string // the server's, for the same problem
	Message string
}

func (p *PoolProblem) Error() string { return p.Message }

// PoolProblems returns why a pool can't be filled, as far as the pool itself shows:
// an upload to it would end before anything is sent.
func PoolProblems(pool toloka.Pool) []*PoolProblem {
	var all []*PoolProblem
	if pool.Status == toloka.PoolArchived {
		all = append(all, &PoolProblem{contract.CodeInappropriateStatus, fmt.Sprintf(
			"pool %s is archived: tasks can't be added to it. Clone it, or take another pool", pool.ID)})
	}
	if _, ok := pool.Mixer(); !ok {
		all = append(all, &PoolProblem{contract.CodeMixerConfigRequired, fmt.Sprintf(
			"pool %s has no smart mixing (mixer_config), which tasks uploaded by the API need: set it in the pool's settings", pool.ID)})
	}
	return all
}

// consultInputs opens each input and maps its header, so that a mistake in the
// last file is found before the first is sent. Standard input can't be read
// twice and stays open.
func (p *preparation) consultInputs(ctx context.Context) error {
	var errs []error
	p.ready.small = make([]bool, len(p.set.names))
	for i, name := range p.set.names {
		r, err := p.set.openInput(ctx, i, p.ready.reading)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		info := r.Info()
		p.books.expect(info.Size)
		p.ready.small[i] = p.set.isPath(i) && 0 < info.Size && info.Size <= smallBytes
		if problem := TrainingProblem(p.ready.pool, info); problem != nil {
			errs = append(errs, problem)
		}
		if name == stdinName {
			p.ready.stdin = r
			continue
		}
		if err := r.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	p.ready.order = readingOrder(p.set.names, p.ready.small)
	switch err := errors.Join(errs...); {
	case err == nil, reader.Passing(err):
		return err
	default:
		return &SetupError{err}
	}
}

// smallBytes bounds the files that share chunks: so many of them are mostly given at once
// that a request for each would take longer than their tasks.
const smallBytes = 16 << 10

// readingOrder returns the numbers of inputs in the order in which they are read. Those
// that share chunks come first, by the names of the files alone: what chunks are made of
// them depends neither on the order of the arguments nor on the folder.
func readingOrder(names []string, small []bool) []int {
	var order, rest []int
	for i := range names {
		if small[i] {
			order = append(order, i)
		} else {
			rest = append(rest, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return strings.Compare(filepath.Base(names[a]), filepath.Base(names[b]))
	})
	return append(order, rest...)
}
