package sim

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
)

// nilGUID is what Graph writes where it means "none". Reported: sign-ins of
// first-party apps without a service principal, self-service group records.
const nilGUID = "00000000-0000-0000-0000-000000000000"

// rng is splitmix64: a whole generator in one word, so that record n can be
// made again without the n-1 before it.
type rng struct{ s uint64 }

// Domains keep the streams of random numbers of different things apart.
const (
	domApp uint64 = iota + 1
	domUser
	domGrant
	domAssignment
	domRecord
	domRecordID
	domAlert
	domFault
	domChange
	domScenario
	domSecret
	domTrait
	domOffice
	domStream
)

// random is the generator of thing n of a domain.
func (c *Cloud) random(domain, n uint64) *rng {
	r := rng{s: uint64(c.o.Seed) ^ domain*0x9e3779b97f4a7c15}
	r.s = r.next() ^ n*0xd1b54a32d192ed03
	r.next()
	return &r
}

func (r *rng) next() uint64 {
	r.s += 0x9e3779b97f4a7c15
	z := r.s
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *rng) intn(n int) int { return int(r.next() % uint64(n)) }

func (r *rng) float() float64 { return float64(r.next()>>11) / (1 << 53) }

func (r *rng) chance(p float64) bool { return r.float() < p }

func pick[T any](r *rng, from []T) T { return from[r.intn(len(from))] }

// guid is a random GUID of version 4.
func (r *rng) guid() string {
	var b [16]byte
	for i := 0; i < 16; i += 8 {
		v := r.next()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return formatGUID(b)
}

func formatGUID(b [16]byte) string {
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// numbered puts a record's number into the last twelve digits of a GUID.
func (r *rng) numbered(n uint32) string {
	return r.guid()[:24] + fmt.Sprintf("%012d", n)
}

// NumberOf reads a record's number back from its correlationId.
func NumberOf(correlationID string) (uint64, bool) {
	if len(correlationID) != 36 {
		return 0, false
	}
	n, err := strconv.ParseUint(correlationID[24:], 10, 64)
	return n, err == nil && n > 0
}

// letters is five capitals or digits, as in the ids of directory audits.
func (r *rng) letters() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	var b [5]byte
	for i := range b {
		b[i] = alphabet[r.intn(len(alphabet))]
	}
	return string(b[:])
}

// packed joins GUIDs the way Graph makes ids of grants and assignments:
// base64url without padding over the GUIDs' bytes in their mixed byte order.
// Reported: decoded from published ids. A grant's id is client, resource and
// principal, so that granting again gives the same id; an assignment's id is
// principal and a random GUID.
func packed(guids ...string) string {
	var raw []byte
	for _, g := range guids {
		raw = append(raw, guidBytes(g)...)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// packedText is base64 of a text: the ids of the sign-in reports. Reported.
func packedText(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func guidBytes(g string) []byte {
	b, err := hex.DecodeString(g[0:8] + g[9:13] + g[14:18] + g[19:23] + g[24:36])
	if err != nil || len(b) != 16 {
		return make([]byte, 16)
	}
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5] = b[5], b[4]
	b[6], b[7] = b[7], b[6]
	return b
}
