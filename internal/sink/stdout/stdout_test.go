package stdout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/fault"
)

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Suite{
		Can: []sinktest.Behaviour{sinktest.Down},
		Start: func(t *testing.T, b sinktest.Behaviour) sinktest.Peer {
			var screen bytes.Buffer
			out := io.Writer(&screen)
			if b == sinktest.Down {
				out = broken{}
			}
			s, err := New(Config{Format: "json"}, Options{Out: out})
			if err != nil {
				t.Fatal(err)
			}
			return sinktest.Peer{Sink: s, Got: func(int) (ids []string) {
				for line := range bytes.Lines(screen.Bytes()) {
					var d struct {
						DeliveryID string `json:"delivery_id"`
					}
					if err := json.Unmarshal(line, &d); err != nil {
						t.Errorf("%v: %q", err, line)
					}
					ids = append(ids, d.DeliveryID)
				}
				return ids
			}}
		},
	})
}

func TestAClosedPipeIsSaid(t *testing.T) {
	s, err := New(Config{}, Options{Out: broken{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), sinktest.Batch(1)); !errors.Is(err, syscall.EPIPE) || fault.Of(err) != fault.Transient || !strings.Contains(err.Error(), "write stdout") {
		t.Errorf("error %v", err)
	}
}

func TestAnUnknownFormatIsNamed(t *testing.T) {
	if _, err := New(Config{Format: "xml"}, Options{}); err == nil || !strings.Contains(err.Error(), `"xml" is no format`) {
		t.Errorf("error %v", err)
	}
}
