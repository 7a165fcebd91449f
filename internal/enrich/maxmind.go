package enrich

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

const (
	maxDatabase = 512 << 20 // bytes of one database file
	maxPlaces   = 65_536    // addresses kept in the cache
	checkEvery  = 30 * time.Second
)

// MaxMindOptions of a MaxMind. Log and Now may be nil.
type MaxMindOptions struct {
	Files []string // databases in MaxMind's format: ASN, Country, City, in any order
	Log   *zap.Logger
	Now   func() time.Time
}

// MaxMind looks up the network and the country of public addresses in database
// files, which it reads anew when they change. Files are read into memory, not
// mapped: one that is cut short while mapped would end the process.
type MaxMind struct {
	o MaxMindOptions

	mu      sync.Mutex
	files   []*database
	checked time.Time
	places  map[netip.Addr]place
}

// database is one file.
type database struct {
	path   string
	size   int64
	time   time.Time
	reader *maxminddb.Reader
	broken error // why the file as it is now cannot be read; reader is the one before
	rotten error // the first look-up that found damage inside reader's bytes
}

// place is what the databases know of an address.
type place struct {
	asn           uint32
	org           string
	country, city string
}

// record is the union of the record types that are read. The names are those of
// MaxMind's GeoLite2 ASN, Country and City databases.
type record struct {
	ASN     uint32 `maxminddb:"autonomous_system_number"`
	Org     string `maxminddb:"autonomous_system_organization"`
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	City struct {
		Names struct {
			English string `maxminddb:"en"`
		} `maxminddb:"names"`
	} `maxminddb:"city"`
}

// OpenMaxMind reads all files; one that cannot be read is an error.
func OpenMaxMind(o MaxMindOptions) (*MaxMind, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &MaxMind{o: o, checked: o.Now(), places: map[netip.Addr]place{}}
	for _, path := range o.Files {
		d := &database{path: path}
		if err := d.load(); err != nil {
			return nil, fault.WithHint(fault.NewPermanent(err), "the file must be a MaxMind database (.mmdb) that this user may read")
		}
		m.files = append(m.files, d)
	}
	return m, nil
}

// Name is "maxmind".
func (m *MaxMind) Name() string { return "maxmind" }

// Lookup fills ASN, network name, country and city of e.Origin where they are
// empty. Addresses that are not public, and text that is no address, are left
// alone.
func (m *MaxMind) Lookup(_ context.Context, e *event.Event) error {
	o := &e.Origin
	if o.IP == "" || o.ASN != 0 && o.ASOrg != "" && o.Country != "" {
		return nil
	}
	addr, err := netip.ParseAddr(o.IP)
	if err != nil || ReachOf(addr) != ReachPublic {
		return nil
	}
	p, err := m.find(addr.Unmap().WithZone(""))
	if err != nil {
		return err
	}
	if o.ASN == 0 || o.ASN == p.asn { // never one network's number with another's name
		o.ASN, o.ASOrg = p.asn, either(o.ASOrg, p.org)
	}
	if o.Country == "" || o.Country == p.country {
		o.Country, o.City = p.country, either(o.City, p.city)
	}
	return nil
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (m *MaxMind) find(a netip.Addr) (place, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refresh()
	if p, ok := m.places[a]; ok {
		return p, nil
	}
	var p place
	for _, d := range m.files {
		var r record
		if err := d.reader.Lookup(a).Decode(&r); err != nil {
			d.rotten = fmt.Errorf("look up address in %s: %w", d.path, err)
			return place{}, d.rotten
		}
		p.add(&r)
	}
	if len(m.places) >= maxPlaces {
		clear(m.places)
	}
	m.places[a] = p
	return p, nil
}

func (p *place) add(r *record) {
	if p.asn == 0 {
		p.asn, p.org = r.ASN, r.Org
	}
	p.country = either(p.country, r.Country.Code)
	p.city = either(p.city, r.City.Names.English)
}

// Check reads changed files anew, as a look-up does, and returns for every file
// what is wrong with it, nil for those in order. The former content of a file
// that cannot be read stays in use.
func (m *MaxMind) Check() map[string]error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refresh()
	out := map[string]error{}
	for _, d := range m.files {
		out[d.path] = errors.Join(d.broken, d.rotten)
	}
	return out
}

// refresh reads changed files anew, at most every half minute. A file that
// cannot be read leaves the former in use.
func (m *MaxMind) refresh() {
	now := m.o.Now()
	if d := now.Sub(m.checked); d >= 0 && d < checkEvery {
		return
	}
	m.checked = now
	for _, d := range m.files {
		changed, err := d.changed()
		if err == nil && !changed {
			d.broken = nil
			continue
		}
		if err == nil {
			err = d.load()
		}
		if err != nil {
			if d.broken == nil {
				m.o.Log.Warn("changed database cannot be read; the former stays in use", zap.String("file", d.path), zap.Error(err))
			}
			d.broken = err
			continue
		}
		clear(m.places)
		m.o.Log.Info("database read anew", zap.String("file", d.path))
	}
}

// changed compares the file with the one in use.
func (d *database) changed() (bool, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return false, fmt.Errorf("look at database: %w", err)
	}
	return info.Size() != d.size || !info.ModTime().Equal(d.time), nil
}

func (d *database) load() error {
	f, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxDatabase {
		return fmt.Errorf("open database %s: not a file of at most %d MiB", d.path, maxDatabase>>20)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxDatabase+1))
	if err != nil {
		return fmt.Errorf("read database: %w", err)
	}
	r, err := parse(raw)
	if err != nil {
		return fmt.Errorf("read database %s: %w", d.path, err)
	}
	d.reader, d.size, d.time, d.broken, d.rotten = r, info.Size(), info.ModTime(), nil, nil
	return nil
}

// parse opens a database. The metadata stand at the end of the file, so that one
// that was cut short is refused; damage inside shows as an error of the look-up.
func parse(raw []byte) (*maxminddb.Reader, error) {
	if len(raw) == 0 {
		return nil, errors.New("the file is empty")
	}
	return maxminddb.OpenBytes(raw)
}
