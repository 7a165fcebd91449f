package event

import (
	"crypto/aes"
	"crypto/cipher"
)

// Hasher hashes the content of records with a key: six times as quick as
// HashContent, and nobody who does not know the key can make two records that have
// one hash. Hashes of different keys do not compare. It is safe for concurrent use.
//
// It is GMAC, the authentication alone of AES-GCM (NIST SP 800-38D): two texts of n
// blocks agree for at most n of 2^128 keys. Its nonce is always the same, so that
// equal texts have equal hashes; what makes that unsafe for a message, that somebody
// sees the tags, does not happen: they stay in the state directory, with the key.
type Hasher struct {
	gcm   cipher.AEAD
	nonce [12]byte
}

// NewHasher returns the hasher of a key. Where the process is held to FIPS 140
// (GODEBUG=fips140=only), which knows no GMAC like this one, it hashes as
// HashContent does.
func NewHasher(key [16]byte) *Hasher {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return &Hasher{}
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return &Hasher{}
	}
	return &Hasher{gcm: gcm}
}

// Content sets id to the hash of record.
func (h *Hasher) Content(id *ID, record []byte) {
	if h.gcm == nil {
		*id = HashContent(record)
		return
	}
	h.gcm.Seal(id[:0], h.nonce[:], nil, record)
}
