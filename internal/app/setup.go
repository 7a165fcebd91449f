package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/elastic"
	"github.com/appgovd/appgovd/internal/sink/kafka"
)

// SetupOptions say which sinks to prepare and by whose right. Without
// credentials of their own the sinks' are used.
type SetupOptions struct {
	Sink         string // name of the block; "" = every sink of the kind
	APIKeyFile   string // as Elasticsearch shows it: base64 of id:key
	Username     string // of OAUTHBEARER the client_id
	PasswordFile string // of OAUTHBEARER the client_secret
	Print        bool   // write what would be done, and send nothing
	Out          io.Writer
}

// SetupElasticsearch installs the index template of the sinks of that kind, and
// for OpenSearch the policy that ends old indices.
func (p *Plan) SetupElasticsearch(ctx context.Context, o SetupOptions) error {
	return setUp(p, "elasticsearch", o, func(c elastic.Config) ([]string, error) {
		s, err := elastic.New(o.authorize(c), elastic.Options{Secret: secret.Resolver{}.Open})
		if err != nil {
			return nil, err
		}
		installed, err := s.Setup(ctx)
		for i := range installed {
			installed[i] += " is installed"
		}
		return installed, errors.Join(err, s.Close())
	})
}

// SetupKafka makes the topics of the sinks of that kind that are missing, and tells how
// the others differ from the configuration.
func (p *Plan) SetupKafka(ctx context.Context, o SetupOptions) error {
	return setUp(p, "kafka", o, func(c kafka.Config) ([]string, error) {
		s, err := kafka.New(o.login(c), kafka.Options{Secret: secret.Resolver{}.Open})
		if err != nil {
			return nil, err
		}
		told, err := s.Setup(ctx)
		return told, errors.Join(err, s.Close())
	})
}

// setUp does what do does for each sink of a kind that the options choose, and writes what
// it tells.
func setUp[C interface{ Requests() string }](p *Plan, kind string, o SetupOptions, do func(C) ([]string, error)) error {
	done := 0
	for _, s := range p.sinks {
		c, ok := s.kind.config.(C)
		if !ok || (o.Sink != "" && o.Sink != s.block.Name) {
			continue
		}
		done++
		if o.Print {
			if _, err := fmt.Fprintln(o.Out, c.Requests()); err != nil {
				return err
			}
			continue
		}
		told, err := do(c)
		for _, what := range told {
			if _, failed := fmt.Fprintf(o.Out, "%s: %s\n", s.block.Key(), what); failed != nil {
				err = errors.Join(err, failed)
			}
		}
		if err != nil {
			return fmt.Errorf("set up sink %s: %w", s.block.Key(), err)
		}
	}
	switch {
	case done > 0:
		return nil
	case o.Sink != "":
		return fmt.Errorf("set up %s: the configuration has no sink %q %q", kind, kind, o.Sink)
	default:
		return fmt.Errorf("set up %s: the configuration has no sink of kind %s", kind, kind)
	}
}

// login replaces the sink's own credentials by those of the options.
func (o SetupOptions) login(c kafka.Config) kafka.Config {
	if o.Username == "" || c.SASL == nil {
		return c
	}
	s := c.SASL.As(o.Username, secret.File(o.PasswordFile))
	c.SASL = &s
	return c
}

// authorize replaces the sink's own credentials by those of the options.
func (o SetupOptions) authorize(c elastic.Config) elastic.Config {
	if o.APIKeyFile == "" && o.Username == "" {
		return c
	}
	c.APIKey, c.ServiceToken, c.Username, c.Password = "", "", o.Username, ""
	if o.APIKeyFile != "" {
		c.APIKey = secret.File(o.APIKeyFile)
	}
	if o.PasswordFile != "" {
		c.Password = secret.File(o.PasswordFile)
	}
	return c
}
