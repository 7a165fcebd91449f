package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/appgovd/appgovd/internal/sim"
)

type (
	cloudKey    struct{}
	touchesKey  struct{}
	scriptCtx   = *testscript.TestScript
	sharedState struct{ v any }
)

// shared is a place of one script for a value of one of its commands.
func shared(ts scriptCtx, key any) *sharedState { s, _ := ts.Value(key).(*sharedState); return s }

// prepare gives each script its places.
func prepare(e *testscript.Env) error {
	e.Values[cloudKey{}], e.Values[touchesKey{}] = &sharedState{}, &sharedState{}
	return nil
}

// sim OPTIONS NAME... serves a simulated tenant for the rest of the script and
// writes conf/source.hcl, which collects the named records, and ca.pem.
func simulate(ts scriptCtx, _ bool, args []string) {
	var o sim.Options
	ts.Check(json.Unmarshal([]byte(args[0]), &o))
	c, err := sim.New(o)
	ts.Check(err)
	base, ca, stop, err := c.Start("127.0.0.1:0")
	ts.Check(err)
	ts.Defer(stop)
	shared(ts, cloudKey{}).v = c
	ts.Setenv("APPGOV_SIM_SECRET", c.ClientSecret())
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca, 0o600))
	ts.Check(os.MkdirAll(ts.MkAbs("conf"), 0o700))
	more := fmt.Sprintf("  collect = [\"%s\"]\n  poll_interval = \"10s\"\n  sync_interval = \"30s\"\n}\n", strings.Join(args[1:], `", "`))
	block := strings.TrimSuffix(c.SourceBlock(base, ts.MkAbs("ca.pem")), "}\n") + more
	ts.Check(os.WriteFile(ts.MkAbs("conf/source.hcl"), []byte(block), 0o600))
}

// faults JSON replaces the faults of the simulated tenant.
func faults(ts scriptCtx, _ bool, args []string) {
	var f sim.Faults
	ts.Check(json.Unmarshal([]byte(args[0]), &f))
	c, ok := shared(ts, cloudKey{}).v.(*sim.Cloud)
	if !ok {
		ts.Fatalf("no simulated tenant")
	}
	c.SetFaults(f)
}

// signal HUP|TERM sends a signal to the last command in the background.
func send(ts scriptCtx, _ bool, args []string) {
	sig := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[args[0]]
	running := ts.BackgroundCmds()
	if sig == 0 || len(running) == 0 {
		ts.Fatalf("no signal or no command in the background")
	}
	ts.Check(running[len(running)-1].Process.Signal(sig))
}

// eventually [!] PATTERN COMMAND... runs the command again and again until it
// succeeds (! fails) and what it prints matches.
func eventually(ts scriptCtx, _ bool, args []string) {
	fails := args[0] == "!"
	if fails {
		args = args[1:]
	}
	want := regexp.MustCompile("(?m)" + args[0])
	limit := time.After(time.Minute)
	for {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir = ts.Getenv("WORK")
		out, err := cmd.CombinedOutput()
		if (err != nil) == fails && want.Match(out) {
			return
		}
		select {
		case <-limit:
			log, _ := os.ReadFile(ts.MkAbs("log"))
			ts.Fatalf("%s: no %s in time: %v\n%s\nlog:\n%s", strings.Join(args[1:], " "), want, err, out, log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// listen sets LISTENER to the address of a port that counts who connects.
func listen(ts scriptCtx, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	n := new(atomic.Int64)
	shared(ts, touchesKey{}).v = n
	ts.Setenv("LISTENER", l.Addr().String())
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			n.Add(1)
			_ = c.Close()
		}
	}()
}

// hook sets HOOK to an URL that keeps what is posted there, a line each, in hook.jsonl, and refuses it for good as long as
// there is a file refuse.
func hook(ts scriptCtx, _ bool, _ []string) {
	kept, refuse := ts.MkAbs("hook.jsonl"), ts.MkAbs("refuse")
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := os.Stat(refuse); err == nil {
			http.Error(w, "no such severity", http.StatusUnprocessableEntity)
			return
		}
		f, err := os.OpenFile(kept, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err == nil {
			_, err = io.Copy(f, io.MultiReader(r.Body, strings.NewReader("\n")))
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv("HOOK", srv.URL)
}

// untouched wants that nobody connected to LISTENER; with !, that somebody did.
func untouched(ts scriptCtx, neg bool, _ []string) {
	n, ok := shared(ts, touchesKey{}).v.(*atomic.Int64)
	if !ok {
		ts.Fatalf("nothing listens")
	}
	if got := n.Load(); (got > 0) != neg {
		ts.Fatalf("%d connections", got)
	}
}

// freeport NAME sets a variable to an address that nobody listens on.
func freeport(ts scriptCtx, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// get is a command SOCKET PATH, or URL PATH, that prints an answer of the daemon.
func get(at, path string) int {
	b, err := fetch(at, path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = os.Stdout.Write(b)
	return 0
}

func fetch(at, path string) ([]byte, error) {
	if !strings.HasPrefix(at, "http://") {
		return ask(context.Background(), at, http.MethodGet, path, nil)
	}
	res, err := http.Get(at + path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	return b, err
}

// expand FROM TO copies a file with the variables of the script put in.
func expand(ts scriptCtx, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}
