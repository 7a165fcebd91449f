package servicetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// certificates are the PEM files of one server: its authority, the server's pair and a client's pair, all signed by
// that authority. Keys are PKCS#8.
type certificates struct {
	caFile, certFile, keyFile, clientCertFile, clientKeyFile string
	// bundle is the server's key, certificate and authority in one file, as Kafka wants them.
	bundle string
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCertificates makes an authority and the two pairs in dir, valid for a day.
func newCertificates(t testing.TB, dir string) certificates {
	t.Helper()
	ca := &authority{}
	caCert, caKey := ca.issue(t, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "appgovd tests"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	ca.adopt(t, caCert, caKey)
	cert, key := ca.issue(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	clientCert, clientKey := ca.issue(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "appgovd"},
		DNSNames:    []string{"appgovd"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	write := func(name string, blocks ...*pem.Block) string {
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(b)...)
		}
		return writeFile(t, filepath.Join(dir, name), string(text))
	}
	return certificates{
		caFile:         write("ca.pem", caCert),
		certFile:       write("server.crt", cert),
		keyFile:        write("server.key", key),
		bundle:         write("server.pem", key, cert, caCert),
		clientCertFile: write("client.crt", clientCert),
		clientKeyFile:  write("client.key", clientKey),
	}
}

// issue signs a new key's certificate; an authority without a certificate signs itself.
func (a *authority) issue(t testing.TB, template *x509.Certificate) (cert, key *pem.Block) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("generate key: %v", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("draw serial: %v", err)
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(24 * time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		t.Fatalf("sign certificate: %v", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatalf("encode key: %v", err)
	}
	return &pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}
}

// adopt makes the pair the one that signs from now on.
func (a *authority) adopt(t testing.TB, cert, key *pem.Block) {
	t.Helper()
	var err error
	if a.cert, err = x509.ParseCertificate(cert.Bytes); err != nil {
		t.Fatalf("parse authority: %v", err)
	}
	private, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		t.Fatalf("parse authority's key: %v", err)
	}
	a.key = private.(*ecdsa.PrivateKey)
}
