package ratelimit_test

import (
	"context"
	"errors"
	"fmt"

	"poolfill/ratelimit"
)

func ExampleConfig_park() {
	// Park makes a request that would have to wait for the next day fail.
	gate, err := ratelimit.New(ratelimit.Config{RequestsPerSecond: 300, TasksPerMinute: 200_000, TasksPerDay: 10_000, Park: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		grant, err := gate.Acquire(context.Background(), 4000)
		var used *ratelimit.DayQuotaError
		if errors.As(err, &used) {
			fmt.Println("parked until the next day:", used.Until.Hour() == 0)
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		// Here the request is sent, at once.
		grant.Done()
		fmt.Println("tasks today:", gate.State().TasksToday)
	}
	// Output:
	// tasks today: 4000
	// tasks today: 8000
	// parked until the next day: true
}
