package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// Create is the block `create {}`: how Setup makes topics. What it does not say is the
// cluster's default.
type Create struct {
	Partitions        int               `hcl:"partitions,optional"`
	ReplicationFactor int               `hcl:"replication_factor,optional"`
	Retention         string            `hcl:"retention,optional"` // "30d"
	Settings          map[string]string `hcl:"settings,optional"`  // of the topic, by Kafka's names: "min.insync.replicas"
}

// Settings of topics that we know of.
const (
	retentionSetting  = "retention.ms"
	cleanupSetting    = "cleanup.policy"
	maxBytesSetting   = "max.message.bytes"
	minInSyncSetting  = "min.insync.replicas"
	brokersMaxMessage = 1_048_588 // what max.message.bytes is by default
)

func (c Config) validateCreate(p *deliver.Problems) {
	if c.Create == nil {
		return
	}
	x := *c.Create
	p.Must(!c.target().IsHubs(), "create", "Event Hubs are not made by Kafka's protocol", "make them in the Azure portal, or by az eventhubs eventhub create, and take the block away")
	p.Must(x.Partitions >= 0 && x.Partitions <= 100_000, "create.partitions", "is no number of partitions", "leave it away for the cluster's default")
	p.Must(x.ReplicationFactor >= 0 && x.ReplicationFactor <= 1000, "create.replication_factor", "is no number of replicas", "leave it away for the cluster's default")
	_, err := milliseconds(x.Retention)
	p.Must(err == nil, "create.retention", fmt.Sprintf("%q is no duration", x.Retention), `write "30d" or "12h"`)
	for _, name := range slices.Sorted(maps.Keys(x.Settings)) {
		field := "create.settings." + name
		p.Must(settingName(name), field, fmt.Sprintf("%q is no name of a setting", name), "Kafka's names have small letters, digits, '.', '_' and '-'")
		switch value := x.Settings[name]; name {
		case retentionSetting:
			p.Must(x.Retention == "", field, "is said by retention, too", "write one of them")
		case cleanupSetting:
			p.Must(!strings.Contains(value, "compact"), field, "compaction would keep the last alert of each app alone, as the key of a record is its app", `write "delete"`)
		case maxBytesSetting:
			n, err := strconv.Atoi(value)
			p.Must(err == nil && n >= c.maxBytes(), field, fmt.Sprintf("is below max_message_bytes of the sink (%d)", c.maxBytes()), "")
		case minInSyncSetting:
			n, err := strconv.Atoi(value)
			p.Must(err == nil && n > 0 && (x.ReplicationFactor == 0 || n <= x.ReplicationFactor), field, fmt.Sprintf("%q of %d replicas cannot be in sync: no write would be acknowledged", value, x.ReplicationFactor), "")
		}
	}
}

func settingName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// milliseconds is a duration, "30d" too, as Kafka writes it; "" for none.
func milliseconds(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	days, isDays := strings.CutSuffix(text, "d")
	if n, err := strconv.ParseUint(days, 10, 16); isDays && err == nil && n > 0 {
		return strconv.FormatUint(n*24*3600*1000, 10), nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < time.Millisecond {
		err = errors.New("not above zero")
	}
	return strconv.FormatInt(d.Milliseconds(), 10), err
}

// wanted are the topics as the configuration wants them; -1 is the cluster's default.
func (c Config) wanted() (all []kafka.TopicConfig) {
	var x Create
	if c.Create != nil {
		x = *c.Create
	}
	settings := maps.Clone(x.Settings)
	if settings == nil {
		settings = map[string]string{}
	}
	if ms, err := milliseconds(x.Retention); err == nil && ms != "" {
		settings[retentionSetting] = ms
	}
	if _, said := settings[maxBytesSetting]; !said && c.maxBytes() > brokersMaxMessage {
		settings[maxBytesSetting] = strconv.Itoa(c.maxBytes())
	}
	var entries []kafka.ConfigEntry
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		entries = append(entries, kafka.ConfigEntry{ConfigName: name, ConfigValue: settings[name]})
	}
	for _, topic := range c.allTopics() {
		t := kafka.TopicConfig{Topic: topic, NumPartitions: -1, ReplicationFactor: -1, ConfigEntries: entries}
		if x.Partitions > 0 {
			t.NumPartitions = x.Partitions
		}
		if x.ReplicationFactor > 0 {
			t.ReplicationFactor = x.ReplicationFactor
		}
		all = append(all, t)
	}
	return all
}

// Requests is what Setup does, as commands of Kafka's own tools for those who make topics
// by other means.
func (c Config) Requests() string {
	var b strings.Builder
	for _, t := range c.wanted() {
		fmt.Fprintf(&b, "kafka-topics.sh --bootstrap-server %s --create --topic %s", strings.Join(c.Brokers, ","), t.Topic)
		if t.NumPartitions > 0 {
			fmt.Fprintf(&b, " --partitions %d", t.NumPartitions)
		}
		if t.ReplicationFactor > 0 {
			fmt.Fprintf(&b, " --replication-factor %d", t.ReplicationFactor)
		}
		for _, e := range t.ConfigEntries {
			fmt.Fprintf(&b, " --config '%s=%s'", e.ConfigName, strings.ReplaceAll(e.ConfigValue, "'", `'\''`))
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// setupLimit bounds all requests of Setup.
const setupLimit = time.Minute

// Setup makes the topics that are missing, and compares those that are there with what
// the configuration wants: it changes none. told has a sentence for each topic, with an
// error, too. It needs rights that writing does not.
func (s *Sink) Setup(ctx context.Context) (told []string, err error) {
	if s.target.IsHubs() {
		return nil, fault.WithHint(fault.NewAuth(errors.New("set up kafka: Event Hubs are not made by Kafka's protocol")), "make them in the Azure portal, or by az eventhubs eventhub create")
	}
	ctx, cancel := context.WithTimeout(ctx, setupLimit)
	defer cancel()
	client := &kafka.Client{Addr: s.client.Addr, Transport: s.transport}
	if _, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: s.target.Topics}); err != nil { // why there is no way to the brokers is told here alone
		return nil, s.classify(fmt.Errorf("reach the brokers: %w", err))
	}
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: s.wanted})
	if err != nil {
		return nil, s.whyNotMade("topics", err)
	}
	var errs []error
	var there []kafka.TopicConfig
	for _, t := range s.wanted {
		switch err := answer.Errors[t.Topic]; {
		case err == nil:
			told = append(told, "topic "+t.Topic+" is made")
		case errors.Is(err, kafka.TopicAlreadyExists):
			there = append(there, t)
		default:
			errs = append(errs, s.whyNotMade("topic "+t.Topic, err))
		}
	}
	if len(told) > 0 {
		errs = append(errs, s.await(ctx, client, len(told)+len(there)))
	}
	compared, err := s.compare(ctx, client, there)
	return append(told, compared...), errors.Join(append(errs, err)...)
}

// await waits until the brokers have so many of our topics, as what they make takes them a
// moment.
func (s *Sink) await(ctx context.Context, client *kafka.Client, n int) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s.transport.CloseIdleConnections() // with what they knew before
		shapes, err := s.shapes(ctx, client)
		if err == nil && len(shapes) >= n {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(errors.New("wait for the topics that were made"), err)
		}
	}
}

// whyNotMade says in plain words why something could not be made.
func (s *Sink) whyNotMade(what string, err error) error {
	said := fmt.Errorf("make %s: %w", what, err)
	var code kafka.Error
	if !errors.As(err, &code) {
		return s.classify(said)
	}
	switch code {
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed:
		return fault.WithHint(fault.NewAuth(said), "setting up needs Create on the topics or the cluster, and DescribeConfigs on the topics: give such credentials for this one command, or make the topics as --print shows")
	case kafka.InvalidReplicationFactor:
		return fault.WithHint(said, "the cluster has fewer brokers than replication_factor asks for replicas")
	case kafka.InvalidPartitionNumber:
		return fault.WithHint(said, "check partitions of the block create")
	case kafka.InvalidConfiguration:
		return fault.WithHint(said, "check settings of the block create: the broker does not know one of them, or not its value")
	case kafka.InvalidTopic:
		return fault.WithHint(said, "the name is not allowed, or differs from that of another topic in '.' and '_' alone")
	case kafka.PolicyViolation:
		return fault.WithHint(said, "the cluster has a rule for topics that this one breaks: ask who runs it")
	default:
		return s.classify(said)
	}
}

// compare says of topics that are there how they differ from what is wanted.
func (s *Sink) compare(ctx context.Context, client *kafka.Client, topics []kafka.TopicConfig) (told []string, err error) {
	if len(topics) == 0 {
		return nil, nil
	}
	s.transport.CloseIdleConnections() // with what they knew before
	shapes, err := s.shapes(ctx, client)
	if err != nil {
		return nil, err
	}
	different := 0
	var errs []error
	for _, t := range topics {
		differs := shapes[t.Topic].differ(t)
		more, err := s.settings(ctx, client, t)
		errs = append(errs, err)
		switch differs = append(differs, more...); {
		case len(differs) > 0:
			different++
			told = append(told, fmt.Sprintf("topic %s exists, but differs: %s", t.Topic, strings.Join(differs, ", ")))
		case err == nil:
			told = append(told, "topic "+t.Topic+" exists")
		}
	}
	if different > 0 {
		errs = append(errs, fault.WithHint(fmt.Errorf("%d of %d topics differ from the block create, and were left as they are", different, len(s.wanted)),
			"change them by kafka-topics.sh --alter and kafka-configs.sh --alter, or change the block"))
	}
	return told, errors.Join(errs...)
}

// shape is what a topic is made of.
type shape struct{ partitions, replicas int }

func (s shape) differ(t kafka.TopicConfig) (how []string) {
	if t.NumPartitions > 0 && s.partitions != t.NumPartitions {
		how = append(how, fmt.Sprintf("%d partitions, not %d", s.partitions, t.NumPartitions))
	}
	if t.ReplicationFactor > 0 && s.replicas != t.ReplicationFactor {
		how = append(how, fmt.Sprintf("%d replicas, not %d", s.replicas, t.ReplicationFactor))
	}
	return how
}

// shapes are our topics that are there.
func (s *Sink) shapes(ctx context.Context, client *kafka.Client) (map[string]shape, error) {
	answer, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: s.target.Topics})
	if err != nil {
		return nil, s.classify(fmt.Errorf("look for topics: %w", err))
	}
	all := map[string]shape{}
	for _, t := range answer.Topics {
		if errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			continue
		}
		if t.Error != nil {
			return nil, s.classify(fmt.Errorf("look for topic %s: %w", t.Name, t.Error))
		}
		x := shape{partitions: len(t.Partitions)}
		for _, p := range t.Partitions {
			x.replicas = max(x.replicas, len(p.Replicas))
		}
		all[t.Name] = x
	}
	return all, nil
}

// settings says how the settings of a topic differ.
func (s *Sink) settings(ctx context.Context, client *kafka.Client, t kafka.TopicConfig) (how []string, err error) {
	if len(t.ConfigEntries) == 0 {
		return nil, nil
	}
	ask := kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: t.Topic}
	for _, e := range t.ConfigEntries {
		ask.ConfigNames = append(ask.ConfigNames, e.ConfigName)
	}
	answer, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{ask}})
	if err == nil && len(answer.Resources) != 1 {
		err = errors.New("the broker does not tell them")
	}
	if err == nil {
		err = answer.Resources[0].Error
	}
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("look for the settings of topic %s: %w", t.Topic, err), "it needs DescribeConfigs on the topic")
	}
	is := map[string]string{}
	for _, e := range answer.Resources[0].ConfigEntries {
		is[e.ConfigName] = outbound.Clean(e.ConfigValue, 200)
	}
	for _, e := range t.ConfigEntries {
		if is[e.ConfigName] != e.ConfigValue {
			how = append(how, fmt.Sprintf("%s = %q, not %q", e.ConfigName, is[e.ConfigName], e.ConfigValue))
		}
	}
	return how, nil
}
