// Package kafkalogin owns how we log in to Kafka with a user and a password, for the
// source and the sink: the mechanisms of SASL, and that no error repeats a password.
package kafkalogin

import (
	"errors"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/appgovd/appgovd/internal/fault"
)

// Mechanisms of SASL, as Kafka calls them.
const (
	Plain  = "PLAIN"
	SHA256 = "SCRAM-SHA-256"
	SHA512 = "SCRAM-SHA-512"
)

// Mechanism is the one of that name for one log-in; any other name is Plain. An error
// is of class auth.
func Mechanism(name, username, password string) (sasl.Mechanism, error) {
	switch name {
	case SHA256:
		return newScram(scram.SHA256, username, password)
	case SHA512:
		return newScram(scram.SHA512, username, password)
	default:
		return plain.Mechanism{Username: username, Password: password}, nil
	}
}

// newScram drops the library's error: it repeats the password.
func newScram(a scram.Algorithm, username, password string) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(a, username, password)
	if err != nil {
		return nil, fault.NewAuth(errors.New("the user or password has characters that SCRAM does not allow"))
	}
	return m, nil
}
