package stream

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// explain classifies an error of the client or a code of the broker, with advice.
// https://kafka.apache.org/protocol#protocol_error_codes
func (k *Kafka) explain(err error) error {
	var code kafka.Error
	switch {
	case err == nil, fault.Hint(err) != "", errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &code):
		return err
	case errors.As(err, &code):
		return k.byCode(code, err)
	case k.cfg.SASL != nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		return fault.WithHint(err, "the broker closed the connection while logging in or reading: wrong credentials or a wrong mechanism look like this, and so does a broker that goes down; check the sasl block, then the broker's log"+k.forHubs("; the basic tier of Event Hubs has no Kafka endpoint"))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.WithHint(err, "the broker closed the connection: a listener that wants TLS or a log-in looks like this, and so does a broker that goes down; check the tls and sasl blocks")
	default:
		return outbound.Explain(err)
	}
}

func (k *Kafka) forHubs(text string) string {
	if k.cfg.isHubs() {
		return text
	}
	return ""
}

func (k *Kafka) byCode(code kafka.Error, err error) error {
	switch code {
	case kafka.UnknownTopicOrPartition, kafka.InvalidTopic, kafka.UnknownTopicID:
		if k.cfg.isHubs() {
			return fault.WithHint(fault.NewAuth(err), "there is no Event Hub of that name in the namespace: topics wants the name of the hub, not of the namespace or of a consumer group; a diagnostic setting without a name for the hub makes one for each category, insights-logs- and the category in lower case, when the first record comes")
		}
		return fault.WithHint(fault.NewAuth(err), "the topic does not exist, or the user may not see it: check topics, and grant Describe and Read on it")
	case kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState:
		return fault.WithHint(fault.NewAuth(err), k.cfg.target().WhenRefused())
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.BrokerAuthorizationFailed:
		return fault.WithHint(fault.NewAuth(err), k.cfg.target().WithoutRights())
	case kafka.GroupAuthorizationFailed:
		return fault.WithHint(fault.NewAuth(err), fmt.Sprintf("grant the user Read on the consumer group %s", k.cfg.group()))
	case kafka.ThrottlingQuotaExceeded:
		return fault.NewThrottled(0, err)
	case kafka.InconsistentGroupProtocol:
		return fault.WithHint(fault.NewAuth(err), fmt.Sprintf("the consumer group %s is used by another product or another set of topics: name one of its own in group", k.cfg.group()))
	default:
		return err
	}
}
