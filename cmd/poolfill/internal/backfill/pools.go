package backfill

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"poolfill/uploader/toloka"
)

// adoptMargin is how much earlier than it was asked for a clone is looked for, as
// clocks differ.
const adoptMargin = 10 * time.Minute

// cloner clones pools for segments.
type cloner struct {
	store store
	log   *zap.Logger
}

// pool returns the pool of a segment, and clones it where it isn't there yet. While
// that has to wait, it fails with a *snooze.
func (c cloner) pool(ctx context.Context, client *toloka.Client, g segment, owner string) (string, error) {
	p, err := c.store.slot(ctx, g.backfill.ID, g.slot)
	if err != nil || p.pool != "" {
		return p.pool, err
	}
	wait, err := c.store.ask(ctx, p, owner, g.backfill.Settings, time.Now())
	if err != nil {
		return "", err
	}
	if wait > 0 {
		return "", &snooze{wait}
	}
	template, err := client.Pool(ctx, p.template)
	if err != nil {
		return "", fmt.Errorf("the template for the next pool: %w", err)
	}
	name := fmt.Sprintf("%s [%s, pool %d]", template.PrivateName, g.backfill.Name, p.number+1)
	id, err := c.adopt(ctx, client, template, p, name)
	if err != nil {
		return "", err
	}
	if id == "" {
		if id, err = client.ClonePool(ctx, p.template); err != nil {
			return "", fmt.Errorf("cloning pool %s: %w", p.template, err)
		}
		c.log.Info("a pool was cloned", zap.String("template", p.template), zap.String("pool", id))
	}
	if err := client.RenamePool(ctx, id, name); err != nil {
		return "", fmt.Errorf("naming the new pool %s: %w", id, err)
	}
	return id, c.store.cloned(ctx, p, owner, id)
}

// adopt finds the clone that was asked for before and whose id got lost, with the
// worker or with the answer: the one with its name, or else one that still has
// the template's and is empty. Neither may be another slot's, though a worker that
// was taken for dead may have given it this slot's name.
func (c cloner) adopt(ctx context.Context, client *toloka.Client, template toloka.Pool, p slot, name string) (string, error) {
	if p.asked.IsZero() {
		return "", nil
	}
	nameless := ""
	for pool, err := range client.Pools(ctx, template.ProjectID, p.asked.Add(-adoptMargin)) {
		if err != nil {
			return "", fmt.Errorf("looking for a clone of pool %s: %w", template.ID, err)
		}
		named := pool.PrivateName == name
		if !named && (pool.PrivateName != template.PrivateName || pool.ID == template.ID || nameless != "") {
			continue
		}
		used, err := c.store.usesPool(ctx, pool.ID)
		if err != nil {
			return "", err
		}
		if used {
			continue
		}
		if named {
			return pool.ID, nil
		}
		n, err := client.Count(ctx, toloka.Tasks(), pool.ID)
		if err != nil {
			return "", err
		}
		if n == 0 {
			nameless = pool.ID
		}
	}
	return nameless, nil
}
