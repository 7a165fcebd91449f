package enrich

import "net/netip"

// Reach is how far an address reaches.
type Reach string

// Reaches of addresses.
const (
	ReachPublic        Reach = "public"
	ReachPrivate       Reach = "private" // RFC 1918, RFC 4193, and the shared space of RFC 6598
	ReachLocal         Reach = "local"   // loopback, link-local, unspecified
	ReachDocumentation Reach = "documentation"
	ReachMulticast     Reach = "multicast"
)

// ReachOf classifies an address by the special-purpose registries of IANA (RFC
// 6890). IPv4 addresses inside IPv6 count as IPv4. An invalid address is "".
func ReachOf(a netip.Addr) Reach {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return ""
	case a.IsLoopback(), a.IsUnspecified(), a.IsLinkLocalUnicast():
		return ReachLocal
	case a.IsMulticast():
		return ReachMulticast
	case a.IsPrivate(), in(a, "100.64.0.0/10"):
		return ReachPrivate
	case in(a, "192.0.2.0/24"), in(a, "198.51.100.0/24"), in(a, "203.0.113.0/24"), in(a, "2001:db8::/32"):
		return ReachDocumentation
	default:
		return ReachPublic
	}
}

func in(a netip.Addr, prefix string) bool { return netip.MustParsePrefix(prefix).Contains(a) }
