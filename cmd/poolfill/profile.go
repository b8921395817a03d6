package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/spf13/pflag"
)

// profiles are the hidden flags that say where time and memory go; 'go tool
// pprof' reads what they write.
type profiles struct {
	cpu, memory string
	running     *os.File // the CPU profile that is being written; nil without one
}

func (p *profiles) register(flags *pflag.FlagSet) {
	flags.StringVar(&p.cpu, "cpuprofile", "", "write a CPU profile to this file")
	flags.StringVar(&p.memory, "memprofile", "", "write a profile of all allocations to this file")
	for _, name := range []string{"cpuprofile", "memprofile"} {
		flags.Lookup(name).Hidden = true
	}
}

func (p *profiles) start() error {
	if p.cpu == "" {
		return nil
	}
	f, err := os.Create(p.cpu)
	if err != nil {
		return &usageError{fmt.Errorf("the CPU profile can't be written: %w", err)}
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	p.running = f
	return nil
}

func (p *profiles) stop() error {
	var err error
	if p.running != nil {
		pprof.StopCPUProfile()
		err = p.running.Close()
	}
	if p.memory == "" {
		return err
	}
	f, createErr := os.Create(p.memory)
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	runtime.GC() // so that what is in use is what is still needed
	return errors.Join(err, pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
