package plan

import (
	"encoding/json"
	"math/big"
	"strconv"

	"poolfill/uploader/toloka"
)

// Cost is what the general tasks cost, in the account's currency and before any
// fee. Control and training tasks cost nothing of their own: they fill places in
// the suites of the others.
type Cost struct {
	// Assignments is how many suites performers complete.
	Assignments int64 `json:"assignments"`
	// Reward is what each of them costs, Amount all of them.
	Reward json.Number `json:"reward_per_assignment"`
	Amount json.Number `json:"amount"`
	// Balance is what the account has; empty where it is unknown.
	Balance json.Number `json:"balance,omitempty"`
	// Missing is what the balance lacks; empty where it is enough.
	Missing json.Number `json:"missing,omitempty"`
	// AtLeast is whether tasks without an end of their overlap come on top.
	AtLeast bool `json:"at_least,omitempty"`
}

// cost returns nil where the pool has too little for that.
func cost(c Counts, pool toloka.Pool, balance json.Number) *Cost {
	mixer, ok := pool.Mixer()
	reward := decimal(pool.Reward)
	if !ok || mixer.General < 1 || reward == nil || c.DefaultOverlap > 0 && pool.Defaults.OverlapForNewTasks < 1 {
		return nil
	}
	overlap := c.Overlap + c.DefaultOverlap*int64(pool.Defaults.OverlapForNewTasks)
	assignments := divideUp(overlap, int64(mixer.General))
	amount := new(big.Rat).Mul(reward, new(big.Rat).SetInt64(assignments))
	out := &Cost{Assignments: assignments, Reward: money(reward), Amount: money(amount), AtLeast: c.InfiniteOverlap > 0}
	if have := decimal(balance); have != nil {
		out.Balance = money(have)
		if missing := new(big.Rat).Sub(amount, have); missing.Sign() > 0 {
			out.Missing = money(missing)
		}
	}
	return out
}

// decimal reads an amount of money exactly; nil where there is none.
func decimal(n json.Number) *big.Rat {
	// A number with a huge exponent would take all memory.
	const least, most = 1e-12, 1e15
	f, err := strconv.ParseFloat(n.String(), 64)
	switch {
	case err != nil || f > most || f < -most:
		return nil
	case f > -least && f < least:
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return nil
	}
	return r
}

// money writes an amount with all its decimals, two at least.
func money(r *big.Rat) json.Number {
	const least = 2
	decimals, _ := r.FloatPrec()
	return json.Number(r.FloatString(max(decimals, least)))
}

func divideUp(a, b int64) int64 { return (a + b - 1) / b }
