package lease_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// A model calls a tool, and calls it again with its arguments in another order. It is the same
// work, and has the same key.
func ExampleKeyOf() {
	for _, arguments := range []string{
		`{"to": "ann@example.com", "subject": "Your order", "lines": 3}`,
		`{"lines": 3.0, "subject": "Your order", "to": "ann\u0040example.com"}`,
	} {
		key, err := lease.KeyOf("send_email", json.RawMessage(arguments))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(key)
	}
	key, err := lease.KeyOf("send_email", map[string]any{"to": "bob@example.com", "subject": "Your order", "lines": 3})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key)
	// Output:
	// send_email:14640a1fb71cb510f7e3b18bdb1e58fdba897478d1ac4f360e515a6ab38d4bf1
	// send_email:14640a1fb71cb510f7e3b18bdb1e58fdba897478d1ac4f360e515a6ab38d4bf1
	// send_email:e3541ec2943f24b4110c9bc72c13aea135fa589248a93ccd6cc080911cf4505d
}

// The vector of KeyOf's documentation, and some more. An implementation in another language can be
// held to them.
func TestKeyOfVectors(t *testing.T) {
	for _, tt := range []struct{ name, prefix, value, key string }{
		{
			"that of the documentation", "tool", `{"\uff41": 1e-7, "b": 1.0, "\ud83d\ude00": [1e21, "<\u00e9>", null]}`,
			"tool:27b8e1d9eb545cce96951ca7bb144d1b1d5cbe1d395394476f7f298eca570e51",
		},
		{"null", "tool", `null`, "tool:74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b"},
		{"members out of order", "tool", `{"b": 1.0, "a": [true, "<é>"]}`, "tool:39a44a99f9f0c36ad45f1182231dacee8a07f4006abf942cabae702abcf76464"},
		{"an emoji before a letter of a greater UTF-16 code unit", "tool", `{"\uff41": 1e-7, "\ud83d\ude00": 1e21}`, "tool:5fab6f6868fc03d0756c10772bfcb3af1e0489b3998e8225dea803ddd1d7a0ed"},
		{"RFC 8785, 3.2.2", "tool", `{
			"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
			"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
			"literals": [null, true, false]
		}`, "tool:2d5e01a318d0f0879ab568c4be289c8b1f64ef8921a53c6277d5e069978baacb"},
		{"RFC 8785, 3.2.3", "tool", `{
			"\u20ac": "Euro Sign",
			"\r": "Carriage Return",
			"\ufb33": "Hebrew Letter Dalet With Dagesh",
			"1": "One",
			"\ud83d\ude00": "Emoji: Grinning Face",
			"\u0080": "Control",
			"\u00f6": "Latin Small Letter O With Diaeresis"
		}`, "tool:5e321556d22018a9656991a9e94f77ec175fa193e52a2429d312f8419ec8b08c"},
		{"an empty string under a prefix with a colon", "v2:é", `""`, "v2:é:12ae32cb1ec02d01eda3581b127c1fee3b0dc53572ed6baf239721a03d82e126"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := lease.KeyOf(tt.prefix, json.RawMessage(tt.value))
			if err != nil || key != tt.key {
				t.Errorf("key is %s, %v; want %s", key, err, tt.key)
			}
		})
	}
}

func TestKeyOfTakesThePrefixesThatLeaveRoom(t *testing.T) {
	m, _ := newManager(t, memory.New())
	for _, prefix := range []string{"p", strings.Repeat("\U0001F4A1", 191), "with spaces: and colons"} {
		key, err := lease.KeyOf(prefix, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustAcquire(t, m, key, nil)
	}
	for _, tt := range []struct{ name, prefix, says string }{
		{"none", "", "0 characters, must be from 1 to 191"},
		{"192 characters", strings.Repeat("p", 192), "192 characters, must be from 1 to 191"},
		{"a control character", "a\nb", "control character U+000A at byte 1 of 3"},
		{"invalid UTF-8", "a\xff", "2 bytes that are not valid UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := lease.KeyOf(tt.prefix, nil)
			var field *lease.FieldError
			if key != "" || !errors.As(err, &field) || field.Field != "prefix" || field.Problem != tt.says {
				t.Errorf("key is %q, error is %v, want a FieldError of prefix that says %q", key, err, tt.says)
			}
		})
	}
}

func TestKeyOfSaysWhatItWasTheKeyOf(t *testing.T) {
	key, err := lease.KeyOf("refund", map[string]int64{"order": 1<<53 + 1})
	var e *lease.Error
	if key != "" || !errors.Is(err, lease.ErrInvalid) || !errors.As(err, &e) || e.Op != "key of" || e.Key != "refund" {
		t.Fatalf("key is %q, error is %#v", key, err)
	}
	const want = `lease: key of "refund": invalid argument: value: number "9007199254740993", ` +
		`must be from -9007199254740991 to 9007199254740991, where integers are exact: pass it as a string`
	if err.Error() != want {
		t.Errorf("\n got %v\nwant %v", err, want)
	}
}
