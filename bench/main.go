// Command bench compares the rules of appgovd with other engines on the same rules
// and events, and prints the ratios; figures of one run only compare with each
// other. It is a module of its own, so that the engines are no dependencies of the
// product.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	args := append(slices.Clone(os.Args[1:]), "", "", "")
	runtime.GOMAXPROCS(1)
	switch args[0] {
	case "ledger":
		return appends(cmp.Or(args[1], "."))
	case "whole":
		return whole()
	case "sinks":
		return sinks(cmp.Or(args[1], "all"), cmp.Or(args[2], "5"))
	case "calls":
		return calls(cmp.Or(args[1], "400000"), cmp.Or(args[2], "5"))
	}
	pool := events(2000)
	own := map[int]time.Duration{}
	for _, n := range []int{10, 100, 1000, 10000} {
		began := time.Now()
		e, err := newAppgovd(mixed(n, false), pool)
		if err != nil {
			return err
		}
		compiled := time.Since(began)
		own[n] = perEvent(e, len(pool))
		fmt.Printf("appgovd                %6d rules %12v per event, compiled in %v\n", n, own[n], compiled.Round(time.Millisecond))
	}
	texts, err := newAppgovd(mixed(1000, true), pool)
	if err != nil {
		return err
	}
	heavy := perEvent(texts, len(pool))
	fmt.Printf("appgovd                  1000 rules %12v per event, 60 %% about parts of texts\n", heavy)
	var naive, best time.Duration
	for _, m := range engines[1:] {
		e, err := m.make(mixed(1000, false), pool)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		t := perEvent(e, len(pool))
		fmt.Printf("%-22s   1000 rules %12v per event\n", m.name, t)
		switch {
		case m.name == "hclsyntax":
			naive = t
		case slices.Contains(asMaps, m.name) && (best == 0 || t < best):
			best = t
		}
	}
	return errors.Join(
		ratio("1,000 rules: naive hclsyntax / appgovd", naive, own[1000], bar{least: 10_000}),
		ratio("1,000 rules: best of cel-go, expr, opa / appgovd", best, own[1000], bar{least: 200}),
		ratio("1,000 rules / 10 rules", own[1000], own[10], bar{most: 8}),
		ratio("10,000 rules / 1,000 rules, the step of the rules alone", own[10000], own[1000], bar{}),
		ratio("1,000 rules, 60 % about parts of texts / mixed", heavy, own[1000], bar{most: 6}),
		whole(), appends("."))
}

// bar is what a ratio must keep to; the zero one is none.
type bar struct{ least, most float64 }

func (b bar) String() string {
	switch {
	case b.least > 0:
		return fmt.Sprintf("at least %g", b.least)
	case b.most > 0:
		return fmt.Sprintf("at most %g", b.most)
	}
	return "no bar"
}

// ratio prints a / b beside its bar; an error is that it is missed.
func ratio(what string, a, b time.Duration, to bar) error {
	r := float64(a) / float64(b)
	fmt.Printf("%-62s %9.1f  (%s)\n", what, r, to)
	if r < to.least || to.most > 0 && r > to.most {
		return fmt.Errorf("%s: %.2f, %s is asked", what, r, to)
	}
	return nil
}

// perEvent is the CPU time for one event, garbage collection included: the least
// of five rounds over the pool, or over as much of it as half a second allows.
func perEvent(e engine, events int) time.Duration {
	hits := make([]int, 0, 64)
	for i := range 20 {
		hits = e(i, hits[:0])
	}
	var rounds []time.Duration
	for range 5 {
		began, n := cpu(), 0
		for spent := time.Duration(0); spent < 100*time.Millisecond; spent = cpu() - began {
			for range 10 {
				hits = e(n%events, hits[:0])
				n++
			}
		}
		rounds = append(rounds, (cpu()-began)/time.Duration(n))
	}
	return slices.Min(rounds)
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
