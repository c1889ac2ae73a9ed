package httpserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// readBody reads the fields of a POST.
func (c *call) readBody() error {
	body, err := c.readObject(c.maxBodyBytes)
	if err != nil {
		return err
	}
	fields, twice := members(body, fieldNames)
	c.fields = fields
	for _, name := range twice {
		c.twice(name)
	}
	if !keyless[c.path()] {
		c.key = c.text("key", c.path() != runPath) // a run has another form, without one
	}
	return nil
}

// readObject reads a body of up to most bytes, which must be a JSON object.
func (c *call) readObject(most int64) ([]byte, error) {
	c.where = "body"
	if err := c.checkMediaType(); err != nil {
		return nil, err
	}
	body, err := c.readAll(most)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(body) { // encoding/json would replace the bytes, and two keys would become one
		return nil, badRequest{{Type: "json_invalid", Loc: []string{"body"}, Msg: fmt.Sprintf("JSON decode error: %d bytes that are not valid UTF-8", len(body))}}
	}
	if err := json.Unmarshal(body, &struct{}{}); err != nil { // keeps nothing
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, badRequest{{Type: "model_attributes_type", Loc: []string{"body"}, Msg: "Input should be a valid JSON object"}}
		}
		return nil, badRequest{{Type: "json_invalid", Loc: []string{"body"}, Msg: "JSON decode error: " + err.Error()}}
	}
	if skipSpace(body)[0] != '{' { // null
		return nil, badRequest{{Type: "model_attributes_type", Loc: []string{"body"}, Msg: "Input should be a valid JSON object"}}
	}
	return body, nil
}

// checkMediaType refuses what is not declared as JSON, or is compressed. A body that is not
// declared at all is taken for JSON.
func (c *call) checkMediaType() error {
	h := c.request.Header
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if len(h.Values(name)) > 1 {
			return twiceInHeader(name)
		}
	}
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return errEncoding
	}
	if declared := h.Get("Content-Type"); declared != "" {
		media, _, err := mime.ParseMediaType(declared)
		if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
			return errMediaType
		}
	}
	return nil
}

// readAll reads the body as long as there is room for it. A body that is announced to be too large
// is refused before its client is told to send it.
func (c *call) readAll(most int64) ([]byte, error) {
	if c.request.ContentLength > most {
		return nil, &http.MaxBytesError{Limit: most}
	}
	end := most
	if c.request.ContentLength >= 0 {
		end = c.request.ContentLength
	}
	end++ // the last read finds that there is no more
	from := http.MaxBytesReader(c.writer, c.request.Body, most)
	body := make([]byte, 0, min(end, freeBytes/bodyWeight))
	for {
		if len(body) == cap(body) {
			size := min(2*int64(cap(body)), max(end, int64(cap(body))+1))
			if !c.share.grow(bodyWeight * size) {
				return nil, errMemoryFull
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == nil:
			continue
		case err == io.EOF:
			c.bodyRead = true
			return body, nil
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errBodyTimeout
		}
		return nil, badRequest{{Type: "body_unreadable", Loc: []string{"body"}, Msg: "The body ended too early"}}
	}
}

// leaveBody closes the connection after the answer if the body was not read: the server would wait
// for the rest, which may never come, and the server's shutdown would wait too.
func (c *call) leaveBody() {
	if c.bodyRead || c.request.ContentLength == 0 || c.request.ProtoMajor != 1 {
		return
	}
	c.hangUp()
	http.NewResponseController(c.writer).SetReadDeadline(time.Unix(1, 0)) // a writer that has none is no server's
}

// hangUp closes the connection after the answer.
func (c *call) hangUp() {
	if c.request.ProtoMajor == 1 { // in HTTP/2 others share the connection
		c.header.Set("Connection", "close")
	}
}
