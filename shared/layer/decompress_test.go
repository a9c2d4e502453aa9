package layer_test

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/dockerfactory/dockerfactory/shared/layer"
)

func TestDecompressMemory(t *testing.T) {
	plain := bytes.Repeat([]byte("some text "), 200_000)
	stream := func(window int) []byte {
		var out bytes.Buffer
		z, err := zstd.NewWriter(&out, zstd.WithWindowSize(window))
		if err != nil {
			t.Fatal(err)
		}
		z.Write(plain)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	z, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	var gz bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(plain)
	g.Close()
	for name, tt := range map[string]struct {
		data []byte
		want int64
	}{
		"8 MiB":          {stream(8 << 20), 16 << 20},
		"128 MiB":        {stream(128 << 20), 256 << 20},
		"single segment": {z.EncodeAll(plain, nil), 2 * int64(len(plain))},
		"256 MiB":        {stream(256 << 20), 512 << 20},
		"too large":      {append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, (28-10)<<3 + 1}, make([]byte, 12)...), 0},
		"cut off":        {stream(8 << 20)[:5], 0},
		"gzip":           {gz.Bytes(), 0},
		"nothing":        {nil, 0},
	} {
		b := bufio.NewReader(bytes.NewReader(tt.data))
		if got := layer.DecompressMemory(b); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", name, got, tt.want)
		}
		if b.Buffered() != len(tt.data) && b.Buffered() < 18 {
			t.Errorf("%s: something was read", name)
		}
	}
}
