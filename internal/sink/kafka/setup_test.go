package kafka

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// setUp makes topics, and returns what it tells, the errors, and the last of the advice.
func setUp(t *testing.T, c Config) (told []string, failed, hint string) {
	t.Helper()
	s, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if told, err = s.Setup(t.Context()); err != nil {
		failed = err.Error()
	}
	return told, failed, fault.Hint(err)
}

func TestSetupOnARealBroker(t *testing.T) {
	k := servicetest.Kafka(t)
	base := Config{Brokers: []string{k.Plain}, Topic: "soc.alerts", Topics: map[string]string{event.AlertHealth: "soc.health", event.AlertRisk: "soc.alerts"}}
	create := func(edit func(*Create)) Config {
		c := base
		c.Create = &Create{Partitions: 3, ReplicationFactor: 1, Retention: "30d", Settings: map[string]string{"min.insync.replicas": "1", "cleanup.policy": "delete"}}
		edit(c.Create)
		return c
	}
	as := func(*Create) {}
	elsewhere := func(c Config, topic string) Config {
		c.Topic, c.Topics = topic, nil
		return c
	}
	for _, step := range []struct {
		name   string
		c      Config
		told   []string
		failed string // a part of it; "" = nothing
		hint   string
	}{
		{"what is missing is made", create(as), []string{"topic soc.alerts is made", "topic soc.health is made"}, "", ""},
		{"a second time nothing is to do", create(as), []string{"topic soc.alerts exists", "topic soc.health exists"}, "", ""},
		{"what the block does not say is not compared", base, []string{"topic soc.alerts exists", "topic soc.health exists"}, "", ""},
		{"what differs is told, and stays", create(func(c *Create) { c.Partitions, c.Retention, c.Settings["segment.bytes"] = 6, "12h", "2097152" }), []string{
			`topic soc.alerts exists, but differs: 3 partitions, not 6, retention.ms = "2592000000", not "43200000", segment.bytes = "1073741824", not "2097152"`,
			`topic soc.health exists, but differs: 3 partitions, not 6, retention.ms = "2592000000", not "43200000", segment.bytes = "1073741824", not "2097152"`,
		}, "2 of 2 topics differ from the block create", "--alter"},
		{"it stayed", create(as), []string{"topic soc.alerts exists", "topic soc.health exists"}, "", ""},
		{"a cluster that is too small", elsewhere(create(func(c *Create) { c.ReplicationFactor = 3 }), "soc.three"), nil, "make topic soc.three: [38] Invalid Replication Factor", "fewer brokers"},
		{"a setting that there is not", elsewhere(create(func(c *Create) { c.Settings["retention.sm"] = "1" }), "soc.setting"), nil, "retention.sm", "settings of the block create"},
		{"a name that collides", elsewhere(create(as), "soc_alerts"), nil, "make topic soc_alerts: [17] Invalid Topic", "'.' and '_'"},
		{"the cluster's defaults", elsewhere(base, "soc.default"), []string{"topic soc.default is made"}, "", ""},
		{"large records want a topic that takes them", func() Config {
			c := elsewhere(base, "soc.large")
			c.MaxMessageBytes = 4 << 20
			return c
		}(), []string{"topic soc.large is made"}, "", ""},
		{"a topic that is too small for them is told", func() Config {
			c := elsewhere(base, "soc.default")
			c.MaxMessageBytes = 4 << 20
			return c
		}(), []string{`topic soc.default exists, but differs: max.message.bytes = "1048588", not "4194304"`}, "1 of 1 topics differ", "--alter"},
		{"nobody listens", Config{Brokers: []string{"127.0.0.1:1"}, Topic: "x"}, nil, "connection refused", "nothing listens"},
	} {
		t.Run(step.name, func(t *testing.T) {
			told, failed, hint := setUp(t, step.c)
			if diff := cmp.Diff(step.told, told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if (failed == "") != (step.failed == "") || !strings.Contains(failed, step.failed) || !strings.Contains(hint, step.hint) {
				t.Errorf("failed with %q, hint %q", failed, hint)
			}
		})
	}
	t.Run("a sink whose topics are missing pauses, and goes on when they are made", func(t *testing.T) {
		c := elsewhere(create(as), "soc.later")
		s, batch := newSink(t, c, k), sinktest.Batch(30)
		if err := s.Write(t.Context(), batch); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "appgovd setup kafka") {
			t.Fatalf("%v, class %s, hint %q", err, fault.Of(err), fault.Hint(err))
		}
		if told, failed, _ := setUp(t, c); len(told) != 1 || failed != "" {
			t.Fatalf("%v, %s", told, failed)
		}
		again(t, s, batch)
		if got := len(arrived(t, k, "soc.later")); got != len(batch) {
			t.Errorf("%d records, want %d", got, len(batch))
		}
	})
}

func newSink(t *testing.T, c Config, k *servicetest.KafkaServer) *Sink {
	t.Helper()
	c.Brokers = []string{k.Plain}
	s, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestSetupWithoutTheRight says which one it needs.
func TestSetupWithoutTheRight(t *testing.T) {
	for name, key := range map[string]kmsg.Key{"to make topics": kmsg.CreateTopics, "to see their settings": kmsg.DescribeConfigs} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t)
			c.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				switch req := r.(type) {
				case *kmsg.CreateTopicsRequest:
					resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
					resp.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: topic, ErrorCode: int16(kafka.TopicAuthorizationFailed)}}
					return resp, nil, true
				case *kmsg.DescribeConfigsRequest:
					resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
					resp.Resources = []kmsg.DescribeConfigsResponseResource{{ResourceType: 2, ResourceName: topic, ErrorCode: int16(kafka.TopicAuthorizationFailed)}}
					return resp, nil, true
				}
				return nil, nil, false
			})
			_, failed, hint := setUp(t, Config{Brokers: c.ListenAddrs(), Topic: topic, Create: &Create{Retention: "1d"}})
			if !strings.Contains(failed, "Topic Authorization Failed") || !strings.Contains(hint, "DescribeConfigs") {
				t.Errorf("%q, hint %q", failed, hint)
			}
		})
	}
}

// TestWhatSetupPrints are commands of the tools that come with Kafka.
func TestWhatSetupPrints(t *testing.T) {
	c := Config{Brokers: []string{"a:9092", "b:9092"}, Topic: "alerts", Topics: map[string]string{event.AlertHealth: "health"}, Create: &Create{Partitions: 6, ReplicationFactor: 3, Retention: "90d", Settings: map[string]string{"min.insync.replicas": "2"}}}
	const want = `kafka-topics.sh --bootstrap-server a:9092,b:9092 --create --topic alerts --partitions 6 --replication-factor 3 --config 'min.insync.replicas=2' --config 'retention.ms=7776000000'
kafka-topics.sh --bootstrap-server a:9092,b:9092 --create --topic health --partitions 6 --replication-factor 3 --config 'min.insync.replicas=2' --config 'retention.ms=7776000000'`
	if diff := cmp.Diff(want, c.Requests()); diff != "" {
		t.Error(diff)
	}
	c.Create, c.Topics = nil, nil
	if got := c.Requests(); got != "kafka-topics.sh --bootstrap-server a:9092,b:9092 --create --topic alerts" {
		t.Error(got)
	}
}

func TestMistakesInTheBlockCreate(t *testing.T) {
	for want, c := range map[string]Create{
		"create.partitions: ":                                     {Partitions: -1},
		"create.replication_factor: ":                             {ReplicationFactor: -1},
		`create.retention: "soon" is no duration`:                 {Retention: "soon"},
		`create.retention: "-1d" is no duration`:                  {Retention: "-1d"},
		`create.retention: "0d" is no duration`:                   {Retention: "0d"},
		"create.settings.retention.ms: is said by retention":      {Retention: "1d", Settings: map[string]string{"retention.ms": "1"}},
		"create.settings.cleanup.policy: compaction":              {Settings: map[string]string{"cleanup.policy": "compact,delete"}},
		"create.settings.max.message.bytes: is below max_message": {Settings: map[string]string{"max.message.bytes": "1000"}},
		`create.settings.min.insync.replicas: "3" of 2 replicas`:  {ReplicationFactor: 2, Settings: map[string]string{"min.insync.replicas": "3"}},
		`create.settings.a' b: "a' b" is no name`:                 {Settings: map[string]string{"a' b": "3"}},
	} {
		err := Config{Brokers: []string{"kafka:9092"}, Topic: topic, Create: &c}.Validate().Err()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	good := Config{Brokers: []string{"kafka:9092"}, Topic: topic, Create: &Create{Partitions: 1, ReplicationFactor: 2, Retention: "12h", Settings: map[string]string{"min.insync.replicas": "2", "max.message.bytes": "1048588"}}}
	if err := good.Validate().Err(); err != nil {
		t.Error(err)
	}
	hubs(func(*Config) {})(&good)
	if err := good.Validate().Err(); err == nil || !strings.Contains(err.Error(), "Event Hubs are not made") {
		t.Errorf("Event Hubs: %v", err)
	}
}
