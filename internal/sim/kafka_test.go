package sim

import (
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a broker did not acknowledge is sent again, and nothing else is.
func TestATopicGetsWhatWasNotAcknowledgedAgain(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "logs"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	k := NewKafka(cluster.ListenAddrs(), "logs")
	defer func() { _ = k.Close() }()
	if err := k.Send(t.Context(), [][]byte{[]byte("1")}); err != nil {
		t.Fatal(err)
	}
	refuse := func(code int16) {
		cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
			req, _ := r.(*kmsg.ProduceRequest)
			res, _ := req.ResponseKind().(*kmsg.ProduceResponse)
			for _, topic := range req.Topics {
				rt := kmsg.NewProduceResponseTopic()
				rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
				for _, p := range topic.Partitions {
					rp := kmsg.NewProduceResponseTopicPartition()
					rp.Partition, rp.ErrorCode = p.Partition, code
					rt.Partitions = append(rt.Partitions, rp)
				}
				res.Topics = append(res.Topics, rt)
			}
			return res, nil, true
		})
	}
	refuse(int16(kafka.NotLeaderForPartition))
	if err := k.Send(t.Context(), [][]byte{[]byte("2"), []byte("3")}); err != nil {
		t.Fatal(err)
	}
	refuse(int16(kafka.MessageSizeTooLarge))
	if err := k.Send(t.Context(), [][]byte{[]byte("4")}); !errors.Is(err, kafka.MessageSizeTooLarge) {
		t.Errorf("refused for good: %v", err)
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: cluster.ListenAddrs(), Topic: "logs", Partition: 0, MaxWait: 100 * time.Millisecond})
	defer func() { _ = r.Close() }()
	var got []string
	for range 3 {
		m, err := r.ReadMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Value))
	}
	if !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("the topic holds %q", got)
	}
}

func TestATopicThatIsNotThereIsAnErrorAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	k := NewKafka([]string{nobody}, "logs")
	defer func() { _ = k.Close() }()
	if err := k.Send(t.Context(), [][]byte{[]byte("1")}); err == nil {
		t.Error("no error")
	}
}
