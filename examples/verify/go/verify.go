// Verifies a webhook with the standard library: `v1` by HMAC-SHA256, `v1a` by Ed25519 with the keys of jwks.json.
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"
)

const maxAge = 5 * time.Minute

// Jwks is the set of public keys at jwks.json.
type Jwks struct {
	Keys []struct {
		X string `json:"x"`
	} `json:"keys"`
}

// isValidV1 says whether one of the signatures `v1` is made with secret.
func isValidV1(secret string, body []byte, headers map[string]string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	return isSigned("v1", body, headers, func(message, signature []byte) bool {
		mac := hmac.New(sha256.New, key)
		mac.Write(message)
		return hmac.Equal(mac.Sum(nil), signature)
	})
}

// isValidV1a says whether one of the signatures `v1a` is made with one of the keys.
func isValidV1a(jwks Jwks, body []byte, headers map[string]string) bool {
	return isSigned("v1a", body, headers, func(message, signature []byte) bool {
		for _, jwk := range jwks.Keys {
			key, err := base64.RawURLEncoding.DecodeString(jwk.X)
			if err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature) {
				return true
			}
		}
		return false
	})
}

func isSigned(version string, body []byte, headers map[string]string, isValid func(message, signature []byte) bool) bool {
	id, timestamp := headers["webhook-id"], headers["webhook-timestamp"]
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > maxAge {
		return false
	}
	message := append([]byte(id+"."+timestamp+"."), body...)
	for _, one := range strings.Split(headers["webhook-signature"], " ") {
		if !strings.HasPrefix(one, version+",") {
			continue
		}
		signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, version+","))
		if err == nil && isValid(message, signature) {
			return true
		}
	}
	return false
}

// Verifies the request on standard input, which the check of these examples writes.
func main() {
	var request struct {
		Secret, Body string
		Jwks         Jwks
		Headers      map[string]string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&request); err != nil {
		log.Fatal(err)
	}
	v1 := isValidV1(request.Secret, []byte(request.Body), request.Headers)
	v1a := isValidV1a(request.Jwks, []byte(request.Body), request.Headers)
	fmt.Printf("v1 %t, v1a %t\n", v1, v1a)
}
