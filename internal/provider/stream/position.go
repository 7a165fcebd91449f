package stream

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// offsets is the cursor of a topic's source: the next offset of each partition.
type offsets struct {
	Version int                      `json:"v"`
	Begun   time.Time                `json:"begun"` // when the source was first read
	Topics  map[string]map[int]place `json:"topics"`
}

// place is where a partition goes on.
type place struct {
	Next int64     `json:"next"`
	Last time.Time `json:"last,omitzero"` // of the last message that was read, by the broker or the producer
}

const offsetsVersion = 1

func parseOffsets(cursor []byte) (offsets, error) {
	var o offsets
	if err := json.Unmarshal(cursor, &o); err != nil {
		return o, fmt.Errorf("read cursor: %w", err)
	}
	if o.Version != offsetsVersion {
		return o, fmt.Errorf("read cursor: version %d is not known", o.Version)
	}
	return o, nil
}

func (o offsets) encode() []byte {
	b, _ := json.Marshal(o) // maps, times and numbers always can be
	return b
}

func (o offsets) clone() offsets {
	topics := make(map[string]map[int]place, len(o.Topics))
	for t, ps := range o.Topics {
		topics[t] = maps.Clone(ps)
	}
	o.Topics = topics
	return o
}

func (o offsets) find(p partition) (place, bool) {
	at, ok := o.Topics[p.topic][p.id]
	return at, ok
}

func (o offsets) set(p partition, at place) {
	if o.Topics[p.topic] == nil {
		o.Topics[p.topic] = map[int]place{}
	}
	o.Topics[p.topic][p.id] = at
}

// partition of a topic.
type partition struct {
	topic string
	id    int
}

func (p partition) String() string { return fmt.Sprintf("partition %d of topic %s", p.id, p.topic) }
