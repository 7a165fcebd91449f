package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// explain classifies an error of the client or a code of the broker. Only what
// is about the record itself is permanent: a mistake in topic or rights must not
// send every alert to the dead letter.
// https://kafka.apache.org/protocol#protocol_error_codes
func (s *Sink) explain(topic string, err error) error {
	return s.classify(fmt.Errorf("write kafka topic %s: %w", topic, err))
}

func (s *Sink) classify(err error) error {
	var code kafka.Error
	switch {
	case errors.As(err, &code):
		return s.byCode(code, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case s.login != nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		return fault.WithHint(err, "the broker closed the connection: while logging in a wrong user, password or SASL mechanism looks like this, later a session whose time is over, or a broker that goes down; check the sasl block, then the broker's log")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.WithHint(err, "the broker closed the connection: a listener that wants TLS or a log-in looks like this; check the tls and sasl blocks")
	default:
		return outbound.Explain(err)
	}
}

func (s *Sink) byCode(code kafka.Error, err error) error {
	switch code {
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return fault.WithHint(fault.NewPermanent(err), "lower max_message_bytes, or raise the topic's max.message.bytes")
	case kafka.InvalidRecord, kafka.InvalidTimestamp, kafka.PolicyViolation:
		return fault.NewPermanent(err)
	case kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState:
		return fault.WithHint(fault.NewAuth(err), s.target.WhenRefused())
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.BrokerAuthorizationFailed:
		return fault.WithHint(fault.NewAuth(err), s.target.WithoutRights())
	case kafka.InvalidTopic, kafka.UnsupportedCompressionType, kafka.UnsupportedForMessageFormat, kafka.UnsupportedVersion, kafka.InvalidRequiredAcks:
		return fault.WithHint(fault.NewAuth(err), "the broker does not take what is configured: check topic and compression against its version and settings")
	case kafka.ThrottlingQuotaExceeded:
		return fault.NewThrottled(0, err)
	case kafka.UnknownTopicOrPartition, kafka.UnknownTopicID:
		return fault.WithHint(err, s.whenMissing())
	case kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend:
		return fault.WithHint(err, "fewer replicas are in sync than the topic's min.insync.replicas asks for")
	default:
		return err
	}
}

// missing is the error where the brokers know no such topic: a human has to make it.
func (s *Sink) missing(topic string) error {
	return fault.WithHint(fault.NewAuth(fmt.Errorf("write kafka topic %s: %w", topic, kafka.UnknownTopicOrPartition)), s.whenMissing())
}

func (s *Sink) whenMissing() string {
	if s.target.IsHubs() {
		return "there is no Event Hub of that name in the namespace: topic wants the name of the hub, not of the namespace; make it in the Azure portal"
	}
	return "the topic does not exist, or the user may not see it; `appgovd setup kafka FILE` makes the topics of the configuration: nothing is lost meanwhile"
}
