package main

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// refuse runs leased with a file of handlers, and returns what it says against it.
func refuse(t *testing.T, text string) (printed string, err error) {
	t.Helper()
	inEmptyFolder(t)
	if err := os.WriteFile("handlers_"+canary, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return runShortly(t, []string{"--addr=127.0.0.1:0", "--backend=memory:", "--no-auth", "--handlers", "handlers_" + canary})
}

func TestHandlersThatAreRefused(t *testing.T) {
	t.Setenv("SHORT_SECRET", "c4n4ry")
	url := `"url":"https://user:` + canary + `@host/?token=` + canary + `","secret":"` + canary + `_secret"`
	command := `"command":["./` + canary + `.sh"]`
	for name, tt := range map[string]struct{ text, says string }{
		"no JSON":                   {"{\n\"tasks\": {\n" + canary, "line 3 is not JSON"},
		"nothing":                   {"", "line 1 is not JSON"},
		"two values":                {"{}\n{\"" + canary + `":1}`, "line 2 is not JSON"},
		"a list":                    {`["` + canary + `"]`, "must be an object"},
		"null":                      {`null`, "must be an object"},
		"an unknown field":          {`{"task":{}}`, `there is no field "task"`},
		"a field that is no name":   {`{"` + strings.ToUpper(canary) + ` x":1}`, "is none of those that there are"},
		"tasks that are none":       {`{"tasks":"` + canary + `"}`, "tasks: must be an object"},
		"a number that is none":     {`{"concurrency":"` + canary + `"}`, "concurrency: must be a whole number"},
		"a number with a fraction":  {`{"concurrency":1.5}`, "concurrency: must be a whole number"},
		"too much at a time":        {`{"concurrency":1001}`, "concurrency: 1001, must be from 1 to 1000"},
		"a task that is none":       {`{"tasks":{"a":"` + canary + `"}}`, "tasks.a: must be an object"},
		"a name with a space":       {`{"tasks":{"` + canary + ` x":{}}}`, "tasks: a name has 8 bytes"},
		"a name that is taken":      {`{"tasks":{"default":{` + command + `}}}`, "tasks.default: this name is that of the handler of actions"},
		"a task without a handler":  {`{"tasks":{"a":{"attempts":3}}}`, "tasks.a: must have either a command or a url"},
		"a task with two":           {`{"tasks":{"a":{` + command + `,` + url + `}}}`, "tasks.a: must have either a command or a url"},
		"an unknown field of it":    {`{"tasks":{"a":{` + command + `,"retries":1}}}`, `tasks.a: there is no field "retries"`},
		"a command that is a text":  {`{"tasks":{"a":{"command":"` + canary + `"}}}`, "tasks.a.command: must be a list"},
		"a command of a number":     {`{"tasks":{"a":{"command":["` + canary + `",1]}}}`, "tasks.a.command: must be a text"},
		"a program without a name":  {`{"tasks":{"a":{"command":["","` + canary + `"]}}}`, "tasks.a.command: 2 texts, must be a program"},
		"a command with a secret":   {`{"tasks":{"a":{` + command + `,"secret":"` + canary + `"}}}`, "tasks.a: secret, secret_env"},
		"a target with a folder":    {`{"tasks":{"a":{` + url + `,"dir":"` + canary + `"}}}`, "tasks.a: dir, env"},
		"a target without a secret": {`{"tasks":{"a":{"url":"https://` + canary + `/"}}}`, "tasks.a: must have either a secret or a secret_env"},
		"a secret that is short":    {`{"tasks":{"a":{"url":"https://` + canary + `/","secret":"` + canary + `"}}}`, "tasks.a.secret: 6 bytes, must be at least 8"},
		"one that is in a variable": {`{"tasks":{"a":{"url":"https://` + canary + `/","secret_env":"SHORT_SECRET"}}}`, "tasks.a.secret: 6 bytes, must be at least 8"},
		"a variable that is unset":  {`{"tasks":{"a":{"url":"https://` + canary + `/","secret_env":"` + canary + `"}}}`, "tasks.a.secret_env: the variable that it names is not set"},
		"a variable of leased":      {`{"tasks":{"a":{` + command + `,"pass_env":["LEASED_API_KEY"]}}}`, "tasks.a.pass_env: 14 bytes, must name a variable that is none of leased's"},
		"a variable that is none":   {`{"tasks":{"a":{` + command + `,"env":{"` + canary + `=":"x"}}}}`, "tasks.a.env: a name has 7 bytes"},
		"a URL that is none":        {`{"tasks":{"a":{"url":"` + canary + `","secret":"` + canary + `_secret"}}}`, "tasks.a.url: 6 bytes, must be an http or https URL"},
		"a timeout too short":       {`{"tasks":{"a":{` + url + `,"timeout_ms":249}}}`, "tasks.a.timeout_ms: 249, must be from 250 to 120000"},
		"too many retries":          {`{"tasks":{"a":{` + url + `,"max_retries":11}}}`, "tasks.a.max_retries: 11, must be from 0 to 10"},
		"no attempts":               {`{"tasks":{"a":{` + command + `,"attempts":0}}}`, "tasks.a.attempts: 0, must be from 1 on"},
		"a duration that is none":   {`{"tasks":{"a":{` + command + `,"ttl":"` + canary + `"}}}`, "tasks.a.ttl: must be a duration such as"},
		"a duration as a number":    {`{"tasks":{"a":{` + command + `,"ttl":30}}}`, "tasks.a.ttl: must be a text"},
		"a TTL too short":           {`{"tasks":{"a":{` + command + `,"ttl":"2s"}}}`, "tasks.a.ttl: 2s, must be from 3s to 1h0m0s"},
		"a grace too long":          {`{"tasks":{"a":{` + command + `,"grace":"8s"}}}`, "tasks.a.grace: 8s, must be from 1ms to 7.5s"},
		"a retention too long":      {`{"tasks":{"a":{` + command + `,"retention":"1000h"}}}`, "tasks.a.retention: 1000h0m0s, must be from 1m0s to 720h0m0s"},
		"a concurrency below 0":     {`{"tasks":{"a":{` + command + `,"concurrency":-1}}}`, "tasks.a.concurrency: -1"},
		"a tool with attempts":      {`{"tools":{"a":{` + command + `,"attempts":3}}}`, `tools.a: there is no field "attempts"`},
		"a tool without a name":     {`{"tools":{"":{` + command + `}}}`, "tools: a name has 0 bytes"},
		"a tick without a name":     {`{"periodic":[{"every":"1h"}]}`, "periodic[0].name: 0 bytes"},
		"no tick":                   {`{"periodic":[{"name":"a"}]}`, "periodic[0]: must have either every or cron"},
		"two kinds of ticks":        {`{"periodic":[{"name":"a","every":"1h","cron":"` + canary + `"}]}`, "periodic[0]: must have either every or cron"},
		"ticks too often":           {`{"periodic":[{"name":"a","every":"1500ms"}]}`, "periodic[0].every: 1.5s, must be whole seconds"},
		"a zone of every":           {`{"periodic":[{"name":"a","every":"1h","zone":"` + canary + `"}]}`, "periodic[0].zone: is for cron"},
		"no cron":                   {`{"periodic":[{"name":"a","every":"1h"},{"name":"b","cron":"` + canary + `"}]}`, "periodic[1].cron: 6 bytes"},
		"no zone":                   {`{"periodic":[{"name":"a","cron":"0 3 * * *","zone":"` + canary + `"}]}`, "periodic[0].zone: 6 bytes"},
		"no such task":              {`{"periodic":[{"name":"a","every":"1h","task":"` + canary + `"}]}`, "periodic[0].task: names none of the tasks"},
		"an input that is none":     {`{"periodic":[{"name":"a","every":"1h","metadata":"` + canary + `"}]}`, "periodic[0].metadata: 8 bytes, must be an object"},
		"too late":                  {`{"tasks":{"t":{` + command + `,"retention":"1h"}},"periodic":[{"name":"a","every":"1h","task":"t","late":"1h"}]}`, "periodic[0].late: 1h0m0s, must be from 1m0s to 59m59s"},
		"a retention too short":     {`{"tasks":{"t":{` + command + `,"retention":"1m"}},"periodic":[{"name":"a","every":"1h","task":"t"}]}`, "the retention of its runs is too short"},
		"one name twice":            {`{"periodic":[{"name":"a","every":"1h"},{"name":"a","every":"2h"}]}`, "periodic[1].name: stands twice"},
		"a namespace of nobody":     {`{"periodic":[{"name":"a","every":"1h","namespace":"` + canary + `"}]}`, "periodic[0].namespace: no API key is for it"},
	} {
		t.Run(name, func(t *testing.T) {
			printed, err := refuse(t, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("the error is %v, want one that says %q", err, tt.says)
			}
			if strings.Contains(printed+err.Error(), canary) {
				t.Errorf("the error is %v, printed %s", err, printed)
			}
		})
	}
}

// A file of secrets that others can read is served, with a warning; one without has none.
func TestAFileOfSecretsThatOthersCanRead(t *testing.T) {
	for name, tt := range map[string]struct {
		handler string
		mode    os.FileMode
		warns   bool
	}{
		"a secret":              {`{"url":"http://127.0.0.1:1/","secret":"` + canary + `_secret"}`, 0o644, true},
		"one for its owner":     {`{"url":"http://127.0.0.1:1/","secret":"` + canary + `_secret"}`, 0o600, false},
		"a variable":            {`{"url":"http://127.0.0.1:1/","secret_env":"MAIL_SECRET"}`, 0o644, false},
		"a URL with a password": {`{"url":"http://u:` + canary + `@127.0.0.1:1/","secret_env":"MAIL_SECRET"}`, 0o644, true},
		"a URL with a token":    {`{"url":"http://127.0.0.1:1/?t=` + canary + `","secret_env":"MAIL_SECRET"}`, 0o644, true},
		"a command":             {`{"command":["true"]}`, 0o644, false},
		"its environment":       {`{"command":["true"],"env":{"TOKEN":"` + canary + `"}}`, 0o644, true},
	} {
		t.Run(name, func(t *testing.T) {
			inEmptyFolder(t)
			t.Setenv("MAIL_SECRET", canary+"_secret")
			if err := os.WriteFile("handlers", []byte(`{"tools":{"a":`+tt.handler+`}}`), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod("handlers", tt.mode); err != nil { // whatever the umask
				t.Fatal(err)
			}
			printed, err := runShortly(t, []string{"--addr=127.0.0.1:0", "--backend=memory:", "--no-auth", "--handlers=handlers"})
			if err != nil || strings.Contains(printed, "chmod 600") != tt.warns || strings.Contains(printed, canary) {
				t.Errorf("printed %s, error %v", printed, err)
			}
		})
	}
}

// What a file says reaches the tasks, and what it leaves out is the default.
func TestWhatHandlersSay(t *testing.T) {
	c := config{maxTTL: time.Hour, retention: time.Hour, maxRetention: time.Hour}
	h, secrets, err := c.parseHandlers([]byte(`{"concurrency":3,"tasks":{
		"plain":{"command":["true"]},
		"full":{"command":["true"],"grace":"2s","attempts":-1,"pause":"2s","max_pause":"3m","within":"48h","retention":"30m","at_most_once":true,"ttl":"12s","concurrency":7,"error_text":true},
		"mail":{"url":"http://127.0.0.1:1/","secret":"12345678","timeout_ms":250,"max_retries":0}},
		"periodic":[{"name":"n","every":"1h"},{"name":"f","cron":"@daily","task":"full","late":"5m","metadata":{"a":1},"namespace":"other"}]}`))
	if err != nil || !secrets || h.concurrency != 3 || len(h.tasks) != 4 {
		t.Fatalf("%d tasks, concurrency %d, secrets %t, error %v", len(h.tasks), h.concurrency, secrets, err)
	}
	if got := h.tasks["plain"].rawTask; got != (rawTask{Name: "plain", TTL: 30 * time.Second, Grace: 10 * time.Second}) {
		t.Errorf("plain is %+v", got)
	}
	if got := h.tasks["full"].rawTask; got != (rawTask{
		Name: "full", Attempts: -1, Pause: 2 * time.Second, MaxPause: 3 * time.Minute, Within: 48 * time.Hour, Retention: 30 * time.Minute, AtMostOnce: true,
		TTL: 12 * time.Second, Grace: 4 * time.Second, Concurrency: 7, ErrorText: true,
	}) {
		t.Errorf("full is %+v", got)
	}
	if got := h.tasks["mail"].rawTask; got != (rawTask{Name: "mail", TTL: 30 * time.Second}) {
		t.Errorf("mail is %+v", got)
	}
	late := []time.Duration{h.periodic[0].job.Late, h.periodic[1].job.Late}
	if !slices.Equal(late, []time.Duration{time.Hour - time.Second, 5 * time.Minute}) || h.periodic[0].task != "default" || h.periodic[0].namespace != "default" ||
		string(h.periodic[0].input) != "{}" || h.periodic[1].namespace != "other" || !json.Valid(h.periodic[1].input) {
		t.Errorf("periodic are %+v", h.periodic)
	}
}

// The examples of HANDLERS.md and of --help are such files, and HANDLERS.md names every field.
func TestTheDocumentationOfHandlers(t *testing.T) {
	t.Setenv("MAIL_SECRET", "12345678")
	b, err := os.ReadFile("HANDLERS.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	_, example, _ := strings.Cut(text, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	_, help, _ := strings.Cut(usageEnd, "metadata:\n")
	help, _, _ = strings.Cut(help, "\n\nA run of no task")
	c := config{maxTTL: time.Hour, retention: 2 * time.Hour, maxRetention: 2 * time.Hour}
	for _, file := range []string{example, help} {
		if h, _, err := c.parseHandlers([]byte(file)); err != nil || len(h.tasks) != 3 || len(h.tools) != 1 || len(h.periodic) != 1 {
			t.Errorf("%v, of\n%s", err, file)
		}
	}
	var names []string
	for _, v := range []any{handlerFields{}, taskFields{}, periodicFields{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name := f.Tag.Get("json"); name != "" {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("no word of %s", name)
		}
	}
	if len(names) < 30 {
		t.Errorf("only %d fields: %v", len(names), names)
	}
}
