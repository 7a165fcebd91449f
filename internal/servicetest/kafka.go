package servicetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafkaCall bounds one request of a helper to the broker.
const kafkaCall = 20 * time.Second

// KafkaServer is one Kafka broker in KRaft mode with its own controller. Topics are made by CreateTopic only.
type KafkaServer struct {
	*server
	// Plain is the address (host:port) without TLS and without a log-in.
	Plain string
	// TLS is the address (host:port) that wants TLS and SASL: SCRAM-SHA-512 or PLAIN with User and Password, or
	// OAUTHBEARER with any unsigned token that has not expired (Tokens gives such). When the token of a connection has
	// expired, the broker closes the connection at the next request.
	TLS string
	// MutualTLS is the address (host:port) that wants a certificate of the client, and no log-in.
	MutualTLS string
	// Behind is an address (host:port) like TLS whose clients are told to come to Proxy: a proxy of the test may listen
	// there and pass on to Behind.
	Behind, Proxy string
	// Interposed is the address (host:port) of what Interpose puts in front of the broker, without TLS and without a
	// log-in; nobody listens there before.
	Interposed string
	// CAFile is the PEM file of the authority that signed the broker's and the client's certificate.
	CAFile string
	// ClientCert and ClientKey are PEM files of a client that MutualTLS lets in.
	ClientCert, ClientKey string
	// User and Password log in at TLS.
	User, Password string

	relayed string // where the broker listens for Interpose
}

// Kafka starts a broker for one test; it is gone when the test ends. KafkaServer.Kill and Restart are for tests of
// what happens when it dies.
func Kafka(t testing.TB) *KafkaServer {
	t.Helper()
	jars, java := KafkaJars(t), Program(t, "java")
	dir := newDir(t, "kafka")
	certs := newCertificates(t, dir)
	k := &KafkaServer{CAFile: certs.caFile, ClientCert: certs.clientCertFile, ClientKey: certs.clientKeyFile, User: "appgov", Password: "kafka-password"}
	k.server = launch(t, dir, func() *server {
		ports := freePorts(t, 8)
		k.Plain, k.TLS, k.MutualTLS = address(ports[0]), address(ports[1]), address(ports[3])
		k.Behind, k.Proxy = address(ports[4]), address(ports[5])
		k.relayed, k.Interposed = address(ports[6]), address(ports[7])
		properties := writeFile(t, filepath.Join(dir, "server.properties"), k.properties(dir, certs, ports[2]))
		k.format(t, java, jars, properties)
		return &server{
			name: "kafka",
			command: func() *exec.Cmd {
				return exec.Command(java, append(javaOptions("512m"), "-cp", jars, "kafka.Kafka", properties)...)
			},
			ready: k.answers,
		}
	})
	return k
}

// KafkaJars is the class path of the broker and of its tools.
func KafkaJars(t testing.TB) string {
	t.Helper()
	return filepath.Join(cached(t, "kafka"), "*")
}

// javaOptions make a JVM start fast and stay small: one compiler tier, one collector thread.
func javaOptions(heap string) []string {
	return []string{"-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"}
}

func (k *KafkaServer) properties(dir string, certs certificates, controller int) string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:%[1]d
listeners=PLAINTEXT://%[2]s,SASL_SSL://%[3]s,SSL://%[9]s,BEHIND://%[10]s,RELAYED://%[12]s,CONTROLLER://127.0.0.1:%[1]d
advertised.listeners=PLAINTEXT://%[2]s,SASL_SSL://%[3]s,SSL://%[9]s,BEHIND://%[11]s,RELAYED://%[13]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,BEHIND:SASL_SSL,RELAYED:PLAINTEXT,SSL:SSL
listener.name.ssl.ssl.client.auth=required
log.dirs=%[4]s
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=3600000
ssl.keystore.type=PEM
ssl.keystore.location=%[5]s
ssl.truststore.type=PEM
ssl.truststore.location=%[6]s
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.behind.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.behind.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%[7]s="%[8]s";
`, controller, k.Plain, k.TLS, filepath.Join(dir, "data"), certs.bundle, certs.caFile, k.User, k.Password, k.MutualTLS, k.Behind, k.Proxy, k.relayed, k.Interposed)
}

// format prepares the data folder with the SCRAM user; a folder of an earlier attempt is kept.
func (k *KafkaServer) format(t testing.TB, java, jars, properties string) {
	t.Helper()
	const clusterID = "YXBwZ292ZC10ZXN0cy0wMQ" // any 16 bytes in URL-safe base64
	args := append(javaOptions("128m"), "-cp", jars, "kafka.tools.StorageTool", "format",
		"--standalone", "--ignore-formatted", "-t", clusterID, "-c", properties,
		"-S", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", k.User, k.Password))
	if out, err := exec.Command(java, args...).CombinedOutput(); err != nil {
		t.Fatalf("format kafka's storage: %v\n%s", err, out)
	}
}

// answers tells whether the broker serves its metadata.
func (k *KafkaServer) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", k.Plain)
	if err != nil {
		return fmt.Errorf("dial kafka: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	brokers, err := conn.Brokers()
	if err == nil && len(brokers) == 0 {
		err = errors.New("no broker is registered")
	}
	return err
}

// CreateTopic makes a topic with one replica and settings as name=value, for example max.message.bytes=2048, and waits
// until every partition has its leader.
func (k *KafkaServer) CreateTopic(t testing.TB, name string, partitions int, settings ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kafkaCall)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(k.Plain)}
	var entries []kafka.ConfigEntry
	for _, setting := range settings {
		key, value, _ := strings.Cut(setting, "=")
		entries = append(entries, kafka.ConfigEntry{ConfigName: key, ConfigValue: value})
	}
	answer, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}},
	})
	if err == nil {
		err = answer.Errors[name]
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	for p := range partitions {
		k.awaitLeader(ctx, t, name, p)
	}
}

// SetTopic changes one setting of a topic, for example max.message.bytes to 2048.
func (k *KafkaServer) SetTopic(t testing.TB, name, setting, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kafkaCall)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(k.Plain)}
	change := kafka.IncrementalAlterConfigsRequestConfig{Name: setting, Value: value, ConfigOperation: kafka.ConfigOperationSet}
	answer, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: name, Configs: []kafka.IncrementalAlterConfigsRequestConfig{change},
	}}})
	for i := 0; err == nil && i < len(answer.Resources); i++ {
		err = answer.Resources[i].Error
	}
	if err != nil {
		t.Fatalf("set %s of topic %s: %v", setting, name, err)
	}
}

func (k *KafkaServer) awaitLeader(ctx context.Context, t testing.TB, topic string, partition int) {
	t.Helper()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		conn, err := kafka.DialLeader(ctx, "tcp", k.Plain, topic, partition)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("find leader of %s/%d: %v", topic, partition, err)
		case <-tick.C:
		}
	}
}

// Records are all records of a topic that are readable now, partition by partition, each in order of offset.
func (k *KafkaServer) Records(t testing.TB, topic string) []kafka.Message {
	t.Helper()
	conn, err := kafka.Dial("tcp", k.Plain)
	if err != nil {
		t.Fatalf("dial kafka: %v", err)
	}
	defer func() { _ = conn.Close() }()
	partitions, err := conn.ReadPartitions(topic)
	if err != nil {
		t.Fatalf("read partitions of %s: %v", topic, err)
	}
	var all []kafka.Message
	for _, p := range partitions {
		records, err := readPartition(t.Context(), net.JoinHostPort(p.Leader.Host, strconv.Itoa(p.Leader.Port)), topic, p.ID)
		if err != nil {
			t.Fatalf("read %s/%d: %v", topic, p.ID, err)
		}
		all = append(all, records...)
	}
	return all
}

// readPartition reads from the first offset up to the last that stood when it began.
func readPartition(ctx context.Context, leader, topic string, partition int) ([]kafka.Message, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", leader, topic, partition)
	if err != nil {
		return nil, fmt.Errorf("dial leader: %w", err)
	}
	first, last, err := conn.ReadOffsets()
	_ = conn.Close()
	if err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{leader}, Topic: topic, Partition: partition,
		MinBytes: 1, MaxBytes: 32 << 20, MaxWait: 100 * time.Millisecond,
	})
	defer func() { _ = reader.Close() }()
	if err := reader.SetOffset(first); err != nil {
		return nil, fmt.Errorf("seek: %w", err)
	}
	var records []kafka.Message
	for next := first; next < last; {
		record, err := readOne(ctx, reader)
		if err != nil {
			return nil, fmt.Errorf("read offset %d of %d: %w", next, last, err)
		}
		records = append(records, record)
		next = record.Offset + 1
	}
	return records, nil
}

func readOne(ctx context.Context, reader *kafka.Reader) (kafka.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaCall)
	defer cancel()
	return reader.ReadMessage(ctx)
}
