// Package sign signs what is attached to an image, and checks such signatures: DSSE envelopes
// (https://github.com/secure-systems-lab/dsse) around in-toto statements, where cosign looks for them, so that
// `cosign verify-attestation --key` accepts them. Keys are files; keyless signing is cosign's business.
package sign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Key is a private key, as far as signing needs it. It signs the same bytes in the same way every time.
type Key struct {
	private crypto.Signer
	id      string
}

// PublicKey checks signatures.
type PublicKey struct {
	public crypto.PublicKey
	id     string
}

const keyHint = "make one with `openssl genpkey -algorithm ed25519 -out key.pem`, or with `cosign generate-key-pair`"

// encryptedTypes are what cosign calls its private keys.
var encryptedTypes = map[string]bool{"ENCRYPTED SIGSTORE PRIVATE KEY": true, "ENCRYPTED COSIGN PRIVATE KEY": true}

// ParseKey reads a private key in PEM: Ed25519 or ECDSA P-256, as PKCS #8, as SEC 1, or as cosign encrypts it. password is asked
// for only if it is encrypted. Errors are of kind Config and do not hold what the file holds.
func ParseKey(text []byte, password func() ([]byte, error)) (*Key, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, builder.Errorf(builder.Config, keyHint, "the private key is not in PEM form")
	}
	der := block.Bytes
	if encryptedTypes[block.Type] {
		secret, err := password()
		if err != nil {
			return nil, err
		}
		if der, err = encrypted.Decrypt(der, secret); err != nil {
			return nil, builder.Errorf(builder.Config, "set COSIGN_PASSWORD to its password", "the private key cannot be decrypted: %w", err)
		}
	}
	private, err := parsePrivate(der)
	if err != nil {
		return nil, err
	}
	id, err := dsse.SHA256KeyID(private.Public())
	return &Key{private, id}, err
}

func parsePrivate(der []byte) (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if parsed, err = x509.ParseECPrivateKey(der); err != nil {
			return nil, builder.Errorf(builder.Config, keyHint, "the private key cannot be read")
		}
	}
	switch k := parsed.(type) {
	case ed25519.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	}
	return nil, builder.Errorf(builder.Config, keyHint, "the private key is neither Ed25519 nor ECDSA P-256")
}

// ParsePublicKey reads a public key in PEM, as `openssl pkey -pubout` and cosign write it.
func ParsePublicKey(text []byte) (*PublicKey, error) {
	const hint = "write it with `openssl pkey -in key.pem -pubout`"
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, builder.Errorf(builder.Config, hint, "the public key is not in PEM form")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, builder.Errorf(builder.Config, hint, "the public key cannot be read: %w", err)
	}
	switch k := public.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return nil, builder.Errorf(builder.Config, hint, "the public key is neither Ed25519 nor ECDSA P-256")
		}
	default:
		return nil, builder.Errorf(builder.Config, hint, "the public key is neither Ed25519 nor ECDSA P-256")
	}
	id, err := dsse.SHA256KeyID(public)
	return &PublicKey{public, id}, err
}

// Public is the key that checks what k signs.
func (k *Key) Public() *PublicKey { return &PublicKey{k.private.Public(), k.id} }

// Sign implements [dsse.Signer]. ECDSA signatures are deterministic (RFC 6979).
func (k *Key) Sign(_ context.Context, data []byte) ([]byte, error) {
	if _, ok := k.private.(ed25519.PrivateKey); ok {
		return k.private.Sign(nil, data, crypto.Hash(0))
	}
	sum := sha256.Sum256(data)
	return k.private.Sign(nil, sum[:], crypto.SHA256)
}

// KeyID implements [dsse.Signer].
func (k *Key) KeyID() (string, error) { return k.id, nil }

// KeyID implements [dsse.Verifier].
func (k *PublicKey) KeyID() (string, error) { return k.id, nil }

// Public implements [dsse.Verifier].
func (k *PublicKey) Public() crypto.PublicKey { return k.public }

var errSignature = errors.New("the signature is wrong")

// Verify implements [dsse.Verifier].
func (k *PublicKey) Verify(_ context.Context, data, signature []byte) error {
	ok := false
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(public, data, signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(data)
		ok = ecdsa.VerifyASN1(public, sum[:], signature)
	}
	if !ok {
		return errSignature
	}
	return nil
}
