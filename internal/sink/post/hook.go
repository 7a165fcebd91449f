package post

import (
	"fmt"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/secret"
)

// Hook is the configuration of a sink whose destination is one URL that is a secret:
// who has it can post.
type Hook struct {
	URL     secret.Ref        `hcl:"url"`
	Links   map[string]string `hcl:"links,optional"`   // pages by name; those of the agent
	Timeout string            `hcl:"timeout,optional"` // of one request, "30s"
	Proxy   string            `hcl:"proxy,optional"`   // URL; "" = of the environment, "none" = no proxy
	TLS     *TLS              `hcl:"tls,block"`
}

// Validate returns every mistake of h that can be found without a network; name is
// that of the destination.
func (h Hook) Validate(name string) deliver.Problems {
	var p deliver.Problems
	advice := fmt.Sprintf("write credential(%q)", name+"-url")
	p.Must(!h.URL.IsZero(), "url", "is empty", advice)
	p.Literal(h.URL.IsLiteral(), "url", "it is a secret: "+advice+`, file("/path") or env("NAME")`)
	CheckLinks(&p, h.Links)
	Check(&p, h.Timeout, h.TLS)
	return p
}

// Open checks h and opens its secret; it connects to nothing. url gives the URL as
// it is then.
func (h Hook) Open(name string, open Opener) (c *Client, url func() (string, error), err error) {
	if err := h.Validate(name).Err(); err != nil {
		return nil, nil, err
	}
	if c, err = New(Options{Name: name, Timeout: h.Timeout, Proxy: h.Proxy, TLS: h.TLS, Secret: open}); err != nil {
		return nil, nil, err
	}
	url, err = c.Open(h.URL)
	return c, url, err
}
