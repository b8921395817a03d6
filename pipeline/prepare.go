package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"poolfill/internal/contract"
	"poolfill/reader"
	"poolfill/uploader/toloka"
)

// SetupError says that a run could not begin: nothing was sent and nothing was
// written. Its text says what has to change first.
type SetupError struct{ Err error }

func (e *SetupError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *SetupError) Unwrap() error { return e.Err }

// prepare finds everything that can be found before a task is sent: whether the
// pool takes tasks, what its spec is, and whether every header fits it. The
// ledger is opened meanwhile; what fails first ends the other.
func (p *Pipeline) prepare(ctx context.Context) error {
	ctx, release := p.untilStop(ctx) // nothing is in flight yet that would deserve to be finished
	defer release()
	group, ctx := errgroup.WithContext(ctx)
	if p.cfg.OpenLedger != nil {
		group.Go(func() (err error) {
			p.cfg.Ledger, err = p.cfg.OpenLedger(ctx)
			return err
		})
	}
	group.Go(func() error { return p.consult(ctx) })
	err := group.Wait()
	if err != nil && p.stdin != nil {
		err = errors.Join(err, p.stdin.Close())
	}
	return err
}

// consult asks the server, then looks at the inputs.
func (p *Pipeline) consult(ctx context.Context) error {
	if p.client != nil && p.cfg.PoolID != "" {
		if err := p.consultPool(ctx); err != nil {
			return err
		}
	}
	return p.consultInputs(ctx)
}

// consultPool asks the server about the pool and takes the spec from its
// project.
func (p *Pipeline) consultPool(ctx context.Context) error {
	pool, err := p.client.Pool(ctx, p.cfg.PoolID)
	if err != nil {
		return setupUnlessPassing(err)
	}
	if problems := PoolProblems(pool); len(problems) > 0 && !p.cfg.Check {
		return &SetupError{problems[0]}
	}
	p.pool = pool
	if err := p.newBatcher(); err != nil {
		return err
	}
	if !p.cfg.Check {
		if err := p.newUploader(cmp.Or(p.cfg.RunKey, p.cfg.firstKey())); err != nil {
			return err
		}
	}
	if p.cfg.NoSpec || p.cfg.Reader.Spec != nil {
		return nil
	}
	project, err := p.client.Project(ctx, pool.ProjectID)
	if err != nil {
		return setupUnlessPassing(err)
	}
	p.cfg.Reader.Spec = &project.TaskSpec
	return nil
}

// setupUnlessPassing tells an answer that asks for a change from a server
// that gives none just now.
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

// PoolProblems says why a pool can't be filled, as far as the pool itself tells:
// an upload to it would end before anything is sent.
func PoolProblems(pool toloka.Pool) []*PoolProblem {
	var all []*PoolProblem
	if pool.Status == toloka.PoolArchived {
		all = append(all, &PoolProblem{contract.CodeInappropriateStatus, fmt.Sprintf(
			"pool %s is archived: tasks can't be added to it. Clone it, or name another pool with --pool", pool.ID)})
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
func (p *Pipeline) consultInputs(ctx context.Context) error {
	var errs []error
	for _, name := range p.inputs {
		r, err := p.openNew(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		info := r.Info()
		p.progress.inputBytes.Add(info.Size)
		if problem := TrainingProblem(p.pool, info); problem != nil {
			errs = append(errs, problem)
		}
		if name == stdinName {
			p.stdin = r
			continue
		}
		if err := r.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	switch err := errors.Join(errs...); {
	case err == nil, reader.Passing(err):
		return err
	default:
		return &SetupError{err}
	}
}

// stdinName is how a user names standard input.
const stdinName = "-"

// open opens an input for the run. A URL is read until ctx ends.
func (p *Pipeline) open(ctx context.Context, name string) (*reader.Reader, error) {
	if name == stdinName {
		return p.stdin, nil
	}
	return p.openNew(ctx, name)
}

// openNew opens an input from its beginning. A source gives no row by that.
func (p *Pipeline) openNew(ctx context.Context, name string) (*reader.Reader, error) {
	if s, ok := p.sources[name]; ok {
		return s.Open(p.cfg.Reader)
	}
	return reader.Open(ctx, p.cfg.Files[p.numbers[name]], p.cfg.Stdin, p.cfg.Reader)
}
