package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
)

// read back a batch by another client's reader: key, headers and value of each record.
func parseBatch(raw []byte) (records [][]string, err error) {
	var b kmsg.RecordBatch
	if err := b.ReadFrom(raw); err != nil {
		return nil, fmt.Errorf("read batch: %w", err)
	}
	if got := int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli))); got != b.CRC || int(b.Length) != len(raw)-12 || b.Magic != 2 || b.ProducerID != -1 || b.ProducerEpoch != -1 || b.FirstSequence != -1 || b.PartitionLeaderEpoch != -1 || b.LastOffsetDelta != b.NumRecords-1 || b.FirstTimestamp != b.MaxTimestamp {
		return nil, fmt.Errorf("header %+v of %d bytes with checksum %d", b, len(raw), got)
	}
	rest := b.Records
	if b.Attributes&7 == 4 {
		d, err := zstd.NewReader(nil)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		if rest, err = d.DecodeAll(rest, nil); err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
	}
	for i := range b.NumRecords {
		r := kmsg.NewRecord()
		length, n := varint(rest)
		if err := r.ReadFrom(rest[:n+length]); err != nil {
			return nil, fmt.Errorf("read record %d: %w", i, err)
		}
		if rest = rest[n+length:]; r.OffsetDelta != i || r.TimestampDelta64 != 0 || r.Attributes != 0 {
			return nil, fmt.Errorf("record %d: %+v", i, r)
		}
		all := []string{string(r.Key), string(r.Value)}
		for _, h := range r.Headers {
			all = append(all, h.Key, string(h.Value))
		}
		records = append(records, all)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes behind the last record", len(rest))
	}
	return records, nil
}

// varint is a length and how many bytes it has itself.
func varint(b []byte) (value, n int) {
	var u uint64
	for shift := 0; ; shift += 7 {
		u |= uint64(b[n]&0x7f) << shift
		if n++; b[n-1] < 0x80 {
			return int(u>>1) ^ -int(u&1), n
		}
	}
}

// wantRecord is what a record of a has, as its headers are documented.
func wantRecord(s *Sink, a *event.Alert) []string {
	kind, id := "appgovd.alert."+string(a.State), "alert_id"
	if a.Event != nil {
		kind, id = "appgovd.event", "event_id"
	}
	want := []string{
		a.Tenant + "/" + a.App.Key(), string(s.encode(nil, a)),
		"ce_specversion", "1.0", "ce_id", a.DeliveryID.String(), "ce_source", "/appgovd/" + a.Provider + "/" + a.Tenant, "ce_type", kind,
		"content-type", s.content, "detection_source", "App Governance", id, a.ID.String(), "delivery_id", a.DeliveryID.String(), "sequence", fmt.Sprint(a.Sequence),
	}
	if !a.Time.IsZero() {
		want = append(want, "ce_time", a.Time.UTC().Format(time.RFC3339Nano))
	}
	if a.App.Key() != "" {
		want = append(want, "ce_subject", a.App.Key())
	}
	return want
}

func testBatch(s *Sink, batch []event.Alert) error {
	var out recordBatch
	for todo := all(len(batch)); len(todo) > 0; {
		var v verdict
		n, sent := s.fill(&out, batch, todo, &v)
		raw, err := out.seal(s.compressor, time.Unix(1, 0))
		if err != nil || len(v.refused) > 0 || len(sent) != n {
			return fmt.Errorf("%d of %d sent, refused %v: %w", len(sent), n, v.refused, err)
		}
		if n := binary.BigEndian.Uint32(raw); int(n) != len(raw)-4 {
			return fmt.Errorf("length %d of %d bytes", n, len(raw)-4)
		}
		got, err := parseBatch(raw[4:])
		if err != nil {
			return err
		}
		var want [][]string
		for _, i := range sent {
			want = append(want, wantRecord(s, &batch[i]))
		}
		if !slices.EqualFunc(want, got, slices.Equal[[]string]) {
			return fmt.Errorf("records (-want +got):\n%s", cmp.Diff(want, got))
		}
		todo = todo[n:]
	}
	return nil
}

// TestBatchesAsAnotherClientReadsThem: alerts, events, whatever is in them.
func TestBatchesAsAnotherClientReadsThem(t *testing.T) {
	hostile := sinktest.Batch(len(sinktest.Hostile()))
	for i, text := range sinktest.Hostile() {
		hostile[i].Title, hostile[i].App.AppID, hostile[i].Tenant = text, text, text
	}
	for name, batch := range map[string][]event.Alert{
		"alerts": sinktest.Batch(700), "hostile": hostile, "all fields": {sinktest.Full(), sinktest.FullEvent(), {}, sinktest.Notice()},
	} {
		for _, compression := range []string{"none", "zstd"} {
			s, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Topic: topic, Compression: compression}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := testBatch(s, batch); err != nil {
				t.Errorf("%s, %s: %v", name, compression, err)
			}
		}
	}
}

// TestHostileAlerts: one alert is one record, whatever its texts are.
func TestHostileAlerts(t *testing.T) {
	s, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Topic: topic, Compression: "none", MaxMessageBytes: 1 << 24}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sinktest.Storm(t, func(a *event.Alert) error { return testBatch(s, []event.Alert{*a}) })
}

// FuzzBatch: one alert is one record, whatever its texts are.
func FuzzBatch(f *testing.F) {
	s, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Topic: topic, Compression: "none"}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range sinktest.Hostile() {
		f.Add(text, "app", uint32(1))
		f.Add("contoso", text, uint32(1<<31))
	}
	f.Fuzz(func(t *testing.T, tenant, app string, sequence uint32) {
		batch := sinktest.Batch(3)
		batch[1].Tenant, batch[1].App.AppID, batch[1].Provider, batch[1].Title, batch[1].Sequence = tenant, app, app, tenant, sequence
		if len(tenant)+len(app) > 100_000 {
			return
		}
		if err := testBatch(s, batch); err != nil {
			t.Error(err)
		}
	})
}
