package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/elastic"
)

// SetupOptions say which sinks to prepare and by whose right. Without
// credentials of their own the sinks' are used.
type SetupOptions struct {
	Sink         string // name of the block; "" = every sink of the kind
	APIKeyFile   string // as Elasticsearch shows it: base64 of id:key
	Username     string
	PasswordFile string
	Print        bool // write what would be installed, and send nothing
	Out          io.Writer
}

// SetupElasticsearch installs the index template of the sinks of that kind, and
// for OpenSearch the policy that ends old indices.
func (p *Plan) SetupElasticsearch(ctx context.Context, o SetupOptions) error {
	done := 0
	for _, s := range p.sinks {
		c, ok := s.kind.config.(elastic.Config)
		if !ok || (o.Sink != "" && o.Sink != s.block.Name) {
			continue
		}
		if err := setupElastic(ctx, s.block.Key(), c, o); err != nil {
			return fmt.Errorf("set up sink %s: %w", s.block.Key(), err)
		}
		done++
	}
	switch {
	case done > 0:
		return nil
	case o.Sink != "":
		return fmt.Errorf("set up elasticsearch: the configuration has no sink \"elasticsearch\" %q", o.Sink)
	default:
		return errors.New("set up elasticsearch: the configuration has no sink of kind elasticsearch")
	}
}

func setupElastic(ctx context.Context, key string, c elastic.Config, o SetupOptions) error {
	if o.Print {
		_, err := fmt.Fprintln(o.Out, c.Requests())
		return err
	}
	s, err := elastic.New(o.authorize(c), elastic.Options{Secret: secret.Resolver{}.Open})
	if err != nil {
		return err
	}
	installed, err := s.Setup(ctx)
	for _, what := range installed {
		if _, failed := fmt.Fprintf(o.Out, "%s: %s is installed\n", key, what); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	return errors.Join(err, s.Close())
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
