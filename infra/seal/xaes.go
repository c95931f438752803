package seal

import (
	"crypto/aes"
	"crypto/cipher"
)

const (
	nonceSize = 24
	overhead  = 16 // the tag of GCM
)

// xaes is XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM under a key of its own for every first half of a nonce, made by the key derivation of
// NIST SP 800-108r1. A gateway seals every Signal session again with every message; with GCM's own nonces of 96 bits, taken at random, one key would
// be good for 2^32 values (NIST SP 800-38D, 8.3), which 300 a second reach within half a year. Nonces of 192 bits have no such end.
type xaes struct {
	block cipher.Block
	k1    [aes.BlockSize]byte
}

func newXAES(key [keySize]byte) *xaes {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // not with 32 bytes
	}
	x := &xaes{block: block}
	block.Encrypt(x.k1[:], x.k1[:])
	var carry byte
	for i := len(x.k1) - 1; i >= 0; i-- {
		carry, x.k1[i] = x.k1[i]>>7, x.k1[i]<<1|carry
	}
	x.k1[len(x.k1)-1] ^= carry * 0b10000111
	return x
}

// derive returns the cipher for the first half of a nonce.
func (x *xaes) derive(half []byte) cipher.AEAD {
	var derived [keySize]byte
	for i := range 2 {
		m := derived[i*aes.BlockSize : (i+1)*aes.BlockSize]
		copy(m, []byte{0, byte(i + 1), 'X', 0})
		copy(m[4:], half)
		for j := range m {
			m[j] ^= x.k1[j]
		}
		x.block.Encrypt(m, m)
	}
	block, err := aes.NewCipher(derived[:])
	if err != nil {
		panic(err) // not with 32 bytes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // not with AES
	}
	return gcm
}

func (x *xaes) seal(dst, nonce, plaintext, associated []byte) []byte {
	return x.derive(nonce[:nonceSize/2]).Seal(dst, nonce[nonceSize/2:], plaintext, associated)
}

func (x *xaes) open(nonce, ciphertext, associated []byte) ([]byte, error) {
	return x.derive(nonce[:nonceSize/2]).Open(nil, nonce[nonceSize/2:], ciphertext, associated)
}
