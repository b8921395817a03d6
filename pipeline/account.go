package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"

	"poolfill/internal/quota"
	"poolfill/pipeline/ledger"
	"poolfill/ratelimit"
	"poolfill/uploader/toloka"
)

// accountBook is the use of the account's quota, which the ledger keeps. Whose
// account it is shows when the first tasks are about to be sent.
type accountBook struct {
	set    *settings
	client *toloka.Client

	mu     sync.Mutex
	ledger *ledger.Ledger // from the time that it is open
	book   *quota.Book    // nil until somebody asks
}

// use says which ledger keeps the book. It comes before anybody asks for room.
func (a *accountBook) use(l *ledger.Ledger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger = l
}

// AccountName returns the name under which the use of an account's quota is kept. The
// requester is the account's id, empty where the server doesn't tell.
func AccountName(api toloka.Config, requester string) string {
	name := api.BaseURL + " " + requester
	if api.ActUnder != "" {
		name += " as " + api.ActUnder
	}
	return name
}

// UsedToday returns how many tasks the uploads of an account have created on the
// running day, UTC, as far as the ledger knows: those of this machine. requester
// is the id of toloka.Client.Requester, empty where the server doesn't tell, and
// day is as in ratelimit.Limits.
func UsedToday(ctx context.Context, l *ledger.Ledger, api toloka.Config, requester string, day time.Duration) (int, error) {
	book, err := quota.New(ctx, l, AccountName(api, requester), day)
	if err != nil {
		return 0, err
	}
	return book.Today(ctx)
}

// open asks the server for the account once. Where it doesn't tell, all uploads
// to the server share one use.
func (a *accountBook) open(ctx context.Context) (*quota.Book, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.book != nil {
		return a.book, nil
	}
	requester, err := a.client.Requester(ctx)
	var api *toloka.Error
	if err != nil && (!errors.As(err, &api) || api.Status == 0 || api.Retryable()) {
		return nil, err
	}
	a.book, err = quota.New(ctx, a.ledger, AccountName(a.set.API, requester.ID), a.set.Limits.Day)
	return a.book, err
}

// Take is part of ratelimit.Book.
func (a *accountBook) Take(ctx context.Context, tasks int, limits ratelimit.Limits) (int64, time.Duration, ratelimit.Reason, error) {
	book, err := a.open(ctx)
	if err != nil {
		return 0, 0, "", err
	}
	return book.Take(ctx, tasks, limits)
}

// Settle is part of ratelimit.Book.
func (a *accountBook) Settle(ctx context.Context, id int64, use ratelimit.Use) error {
	book, err := a.open(ctx)
	if err != nil {
		return err
	}
	return book.Settle(ctx, id, use)
}

// close has the book keep the ends of the last grants, which must have ended.
func (a *accountBook) close(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.book == nil {
		return nil
	}
	return a.book.Close(ctx)
}

// Sharers is part of ratelimit.Book.
func (a *accountBook) Sharers() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.book == nil {
		return 1
	}
	return a.book.Sharers()
}

// Today is part of ratelimit.Book.
func (a *accountBook) Today(ctx context.Context) (int, error) {
	book, err := a.open(ctx)
	if err != nil {
		return 0, err
	}
	return book.Today(ctx)
}
