package body

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
)

// What a part that is no text counts as. An image is one token per 1024 pixels; of one whose size is not to be seen (a URL, an
// unknown format), and of audio, the size of 640 x 360 pixels is assumed.
const (
	pixelsPerToken = 1024
	defaultTokens  = 640 * 360 / pixelsPerToken
	maxImageTokens = 16 << 10 // whatever an image says of itself
)

// headerBytes is how much of an image is looked at; enough for a JPEG without a thumbnail or a colour profile.
const headerBytes = 1020

// imageTokens estimates the tokens of an image from the header of its bytes, which stand in base64 behind a data URL's comma,
// or alone.
func imageTokens(payload []byte) int {
	encoded := bytes.Trim(payload, `"`)
	if startsWith(encoded, "data:") {
		comma := bytes.IndexByte(encoded[:min(len(encoded), 128)], ',')
		if comma < 0 {
			return defaultTokens
		}
		encoded = encoded[comma+1:]
	}
	var header [headerBytes]byte
	n, _ := base64.StdEncoding.Decode(header[:], encoded[:min(len(encoded)/4, headerBytes/3)*4]) // up to what is no base64
	width, height := dimensions(header[:n])
	if width <= 0 || height <= 0 {
		return defaultTokens
	}
	return tokensOf(width, height, maxImageTokens)
}

// dimensions reads the size of a PNG, GIF, WebP or JPEG image; 0 where it is not to be seen.
func dimensions(h []byte) (width, height int) {
	little, big := binary.LittleEndian, binary.BigEndian
	switch {
	case len(h) < 30:
	case startsWith(h, "\xff\xd8"):
		return jpegDimensions(h)
	case startsWith(h, "\x89PNG\r\n\x1a\n") && string(h[12:16]) == "IHDR":
		return int(big.Uint32(h[16:])), int(big.Uint32(h[20:]))
	case startsWith(h, "GIF8"):
		return int(little.Uint16(h[6:])), int(little.Uint16(h[8:]))
	case !startsWith(h, "RIFF") || string(h[8:12]) != "WEBP":
	case string(h[12:16]) == "VP8X":
		return int(little.Uint32(h[24:])&0xffffff) + 1, int(little.Uint32(h[26:])>>8) + 1
	case string(h[12:16]) == "VP8 ":
		return int(little.Uint16(h[26:]) & 0x3fff), int(little.Uint16(h[28:]) & 0x3fff)
	}
	return 0, 0
}

// jpegDimensions walks over a JPEG's segments to the one that begins a frame.
func jpegDimensions(h []byte) (width, height int) {
	for i := 2; i+9 <= len(h) && h[i] == 0xff; {
		marker := h[i+1]
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc {
			return int(binary.BigEndian.Uint16(h[i+7:])), int(binary.BigEndian.Uint16(h[i+5:]))
		}
		i += 2 + int(binary.BigEndian.Uint16(h[i+2:]))
	}
	return 0, 0
}
