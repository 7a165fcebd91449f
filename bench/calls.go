package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bytedance/sonic"
	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/servicetest"
)

const (
	callsTopic      = "insights-logs-microsoftgraphactivitylogs"
	callsPartitions = 4
	perMessage      = 100
)

// calls takes records of MicrosoftGraphActivityLogs from a real broker through the
// whole daemon (its source, normaliser, roll-ups, the shipped rules and its ledger)
// with keep = "matched", and in turn through a bare consumer that reads and validates
// them, on two cores which the broker has a part of.
func calls(count, rounds string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return fmt.Errorf("read number of records: %w", err)
	}
	pairs, err := strconv.Atoi(rounds)
	if err != nil {
		return fmt.Errorf("read number of pairs: %w", err)
	}
	runtime.GOMAXPROCS(2)
	t := &program{ctx: context.Background()}
	defer t.end()
	broker := servicetest.Kafka(t)
	broker.CreateTopic(t, callsTopic, callsPartitions)
	size, err := fill(broker.Plain, n)
	if err != nil {
		return err
	}
	fmt.Printf("%d records of %d bytes, %d to a message, in %d partitions\n", n, size/n, perMessage, callsPartitions)
	consumers := []struct {
		name string
		run  func(round int) error
		cost []cost
	}{
		{name: "appgovd", run: func(round int) error { return daemon(broker.Plain, round, n) }},
		{name: "bare, encoding/json", run: func(int) error { return consume(broker.Plain, json.Valid, n) }},
		{name: "bare, sonic", run: func(int) error { return consume(broker.Plain, sonic.Valid, n) }},
	}
	for i := range pairs {
		for c := range consumers {
			took, err := costOf(func() error { return consumers[c].run(i) })
			if err != nil {
				return fmt.Errorf("%s: %w", consumers[c].name, err)
			}
			consumers[c].cost = append(consumers[c].cost, took)
			fmt.Printf("round %d: %-22s %8.0f records/s, %6.2f µs of processor time for each\n", i+1, consumers[c].name, float64(n)/took.wall.Seconds(), took.cpu.Seconds()*1e6/float64(n))
		}
	}
	own := consumers[0].cost
	fmt.Printf("appgovd, the middle one of %d rounds: %.0f records/s (at least 40,000)\n", pairs, middle(pairs, func(i int) float64 { return float64(n) / own[i].wall.Seconds() }))
	for _, c := range consumers[1:] {
		fmt.Printf("appgovd / %-20s %5.2f of its speed (at least 0.35), %5.2f by processor time\n", c.name,
			middle(pairs, func(i int) float64 { return c.cost[i].wall.Seconds() / own[i].wall.Seconds() }), middle(pairs, func(i int) float64 { return c.cost[i].cpu.Seconds() / own[i].cpu.Seconds() }))
	}
	return nil
}

// cost is what a run took, by the clock and in processor time of this process.
type cost struct{ wall, cpu time.Duration }

func costOf(run func() error) (cost, error) {
	runtime.GC()
	cpu, began := used(), time.Now()
	err := run()
	return cost{time.Since(began), used() - cpu}, err
}

func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func middle(n int, of func(int) float64) float64 {
	xs := make([]float64, n)
	for i := range xs {
		xs[i] = of(i)
	}
	slices.Sort(xs)
	return xs[n/2]
}

// program stands in for a test, which the helper that starts a broker wants.
type program struct {
	testing.TB
	ctx     context.Context
	cleanup []func()
}

func (p *program) Helper()                  {}
func (p *program) Context() context.Context { return p.ctx }
func (p *program) Cleanup(f func())         { p.cleanup = append(p.cleanup, f) }
func (p *program) Logf(f string, a ...any)  { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (p *program) Fatalf(f string, a ...any) {
	p.Logf(f, a...)
	p.end()
	os.Exit(1)
}
func (p *program) Skipf(f string, a ...any) { p.Fatalf(f, a...) }
func (p *program) Skip(a ...any)            { p.Fatalf("%s", fmt.Sprint(a...)) }
func (p *program) Fatal(a ...any)           { p.Fatalf("%s", fmt.Sprint(a...)) }

func (p *program) end() {
	for _, f := range slices.Backward(p.cleanup) {
		f()
	}
	p.cleanup = nil
}

// fill writes the records and returns how many bytes they have.
func fill(broker string, n int) (size int, err error) {
	r := rand.New(rand.NewPCG(7, 8))
	w := &kafka.Writer{Addr: kafka.TCP(broker), Topic: callsTopic, RequiredAcks: kafka.RequireAll, BatchSize: 20, BatchBytes: 16 << 20, BatchTimeout: time.Millisecond, Balancer: &kafka.RoundRobin{}}
	defer func() { err = errors.Join(err, w.Close()) }()
	for done := 0; done < n; {
		var batch []kafka.Message
		for range 20 {
			m := []byte(`{"records":[`)
			for i := 0; i < perMessage && done < n; i++ {
				if i > 0 {
					m = append(m, ',')
				}
				from := len(m)
				m = append(m, activity(r, done)...)
				size += len(m) - from
				done++
			}
			batch = append(batch, kafka.Message{Value: append(m, "]}"...)})
		}
		if err := w.WriteMessages(context.Background(), batch...); err != nil {
			return size, fmt.Errorf("write records: %w", err)
		}
	}
	return size, nil
}

// callers is how many apps call; a tenth of them makes six calls of ten, and each
// asks for two things.
const callers = 300

// activity is a record as the diagnostic setting of a tenant writes it, one in five of
// them on behalf of a user.
// https://learn.microsoft.com/graph/microsoft-graph-activity-logs-overview
func activity(r *rand.Rand, i int) []byte {
	at := began.Add(time.Duration(i) * 2 * time.Millisecond).Format("2006-01-02T15:04:05.0000000Z")
	number := int(callers * r.Float64() * r.Float64() * r.Float64())
	app, id := apps[number], guid(r)
	user, scopes, roles, kind := "", "", "Directory.Read.All User.Read.All Group.Read.All AuditLog.Read.All Mail.Read Sites.Read.All", "app"
	if r.IntN(5) == 0 {
		user, scopes, roles, kind = pick(r, users), "email openid profile Mail.Read Files.Read.All User.Read", "", "user"
	}
	path := []string{"/v1.0/users/%s/messages?$top=50&$select=subject,from", "/v1.0/users/%s", "/v1.0/groups/%s/members", "/v1.0/sites/%s/drive/root/children", "/beta/auditLogs/signIns?$filter=id eq '%s'", "/v1.0/applications/%s/owners"}[(number+r.IntN(2))%6]
	status := []int{200, 200, 200, 200, 200, 200, 200, 404, 429, 201}[r.IntN(10)]
	_, ip := client(r)
	duration := r.IntN(900)
	return fmt.Appendf(nil, `{"time":%[1]q,"resourceId":"/TENANTS/%[2]s/PROVIDERS/MICROSOFT.AADIAM","operationName":"Microsoft Graph Activity","operationVersion":"beta","category":"MicrosoftGraphActivityLogs","resultSignature":"%[3]d","durationMs":"%[4]d",`+
		`"callerIpAddress":%[5]q,"correlationId":%[6]q,"level":"Informational","location":"West Europe","tenantId":%[2]q,"properties":{"timeGenerated":%[1]q,"location":"West Europe","requestId":%[6]q,"operationId":%[6]q,`+
		`"clientRequestId":%[7]q,"apiVersion":"v1.0","requestMethod":"GET","responseStatusCode":%[3]d,"tenantId":%[2]q,"durationMs":%[4]d,"responseSizeBytes":%[8]d,"signInActivityId":%[9]q,"roles":%[10]q,"appId":%[11]q,`+
		`"UserPrincipalObjectID":%[12]q,"scopes":%[13]q,"identityProvider":"https://sts.windows.net/%[2]s/","clientAuthMethod":"2","wids":"","C_Idtyp":%[14]q,"isReplay":false,"policyEvaluated":false,"userId":%[15]q,`+
		`"servicePrincipalId":%[16]q,"ipAddress":%[5]q,"userAgent":%[17]q,"requestUri":%[18]q,"tokenIssuedAt":%[1]q,"sessionId":"","deviceId":"","uniqueTokenId":%[9]q}}`,
		at, tenant, status, duration, ip, id, guid(r), r.IntN(200_000), guid(r)[:22], roles, app, "sp-"+app, scopes, kind, user, "sp-"+app, userAgent(r), "https://graph.microsoft.com"+fmt.Sprintf(path, guid(r)))
}

// consume reads and validates all records, a goroutine for each partition.
func consume(broker string, valid func([]byte) bool, n int) error {
	var wg sync.WaitGroup
	var left, wrong atomic.Int64
	left.Store(int64((n + perMessage - 1) / perMessage))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for id := range callsPartitions {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: callsTopic, Partition: id, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 100 * time.Millisecond})
		wg.Go(func() {
			defer func() { _ = r.Close() }()
			for {
				m, err := r.ReadMessage(ctx)
				if err != nil {
					return
				}
				if !valid(m.Value) {
					wrong.Add(1)
				}
				if left.Add(-1) == 0 {
					cancel()
				}
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	if wrong.Load() > 0 {
		return fmt.Errorf("validate records: %d messages are no JSON", wrong.Load())
	}
	return nil
}

// daemon runs the whole agent, from its start to its end, until its ledger accounts
// for all records.
func daemon(broker string, round, n int) (err error) {
	dir, err := os.MkdirTemp("", "appgovd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	plan, err := planOf(dir, broker, round)
	if err != nil {
		return err
	}
	agent, err := app.New(context.Background(), plan, app.Options{Stdout: &bytes.Buffer{}})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	account := await(agent, n)
	stop()
	if err := <-ended; err != nil {
		return err
	}
	if account != uint64(n) {
		return fmt.Errorf("read records: %d of %d in the account", account, n)
	}
	return nil
}

func planOf(dir, broker string, round int) (*app.Plan, error) {
	rules, err := filepath.Abs("../rules")
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "agent.hcl")
	text := fmt.Sprintf(`
agent {
  state_dir = %q
}
rules = [%q]
source "kafka" "bench" {
  tenant_id  = %q
  brokers    = [%q]
  topics     = [%q]
  group      = "bench-%d"
  categories = ["MicrosoftGraphActivityLogs"]
}
sink "file" "out" {
  path = %q
}
`, filepath.Join(dir, "state"), rules, tenant, broker, callsTopic, round, filepath.Join(dir, "out.json"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	plan, diags := app.Check(conf)
	if diags.HasErrors() {
		return nil, diags
	}
	return plan, nil
}

// await looks until n records are accounted for, or for ten minutes.
func await(agent *app.Agent, n int) (fetched uint64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Minute)
	for fetched < uint64(n) {
		select {
		case <-limit:
			return fetched
		case <-tick.C:
			a := agent.Status().Sources[0].Account
			fetched = a.New
		}
	}
	return fetched
}
