package dashboard

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/chasqui/chasqui/infra/testdev"
)

// TestWelcome begins with a key whose one session does not exist yet, in Spanish: from nothing to a message that came and was answered, with a reload in the middle, and a phone in the
// sandbox that has the answer.
//
// Feature: Dashboard
func TestWelcome(t *testing.T) {
	t.Parallel()
	const session = "welcome-es"
	var key struct{ Key string }
	must(t, "POST", "/v1/api-keys", map[string]any{"name": session, "scopes": []string{"read", "send", "manage"}, "sessions": []string{session}}, &key)
	t.Cleanup(func() { testdev.Call(t, "DELETE", running.URL+"/v1/sessions/"+session, nil, nil) })
	tab := openAs(t, key.Key, "/settings")
	tab.Click("text=Español")
	tab.Click("text=Resumen")
	tab.Await(`location.pathname === '/welcome'`) // there is no session
	tab.Await(`document.querySelector('[data-step="1"]')?.dataset.state === 'now' && document.querySelector('[data-step="2"]').dataset.state === 'later'`)
	tab.Fill("input[name=id]", "de-otra-clave")
	tab.Click("text=Crear la sesión")
	tab.Await(`!!document.querySelector('[data-step="1"] [role=alert]')`) // a refusal: the key is of another
	tab.Fill("input[name=id]", session)
	tab.Click("text=Crear la sesión")
	tab.Sees("La sesión " + session + " está creada.")
	tab.Click("text=Vincular un teléfono simulado")
	tab.Await(`document.querySelector('[data-step="2"]').dataset.state === 'done' && document.querySelector('[data-step="3"]').dataset.state === 'now'`)
	tab.Click("text=Que escriba un contacto")
	tab.Sees("¡Hola! ¿Abren el domingo?")

	tab.Go(running.URL + "/welcome") // the steps are known by what happened
	signIn(tab, key.Key)
	tab.Await(`document.querySelector('[data-step="3"]')?.dataset.state === 'done' && document.querySelector('[data-step="4"]').dataset.state === 'now' && !document.querySelector('#over')`)
	tab.Size(390, 844)
	fits(t, tab)
	tab.Fill("input[name=text]", "Sí, de 9 a 12.")
	tab.Click("text=Enviar la respuesta")
	tab.Sees("Eso es todo")
	fits(t, tab)
	var messages struct {
		Data []struct {
			Direction, Status string
			To                struct{ Phone string }
			Content           struct{ Text string }
		}
	}
	must(t, "GET", "/v1/sessions/"+session+"/messages?direction=outgoing", nil, &messages)
	if len(messages.Data) != 1 || messages.Data[0].Content.Text != "Sí, de 9 a 12." {
		t.Fatalf("what was sent is %+v", messages.Data)
	}
	var seen struct{ Messages []struct{ Text string } }
	sandbox(t, "GET", "/phones/"+messages.Data[0].To.Phone+"/messages?after=0&wait=20", nil, &seen)
	if !strings.Contains(fmt.Sprint(seen), "Sí, de 9 a 12.") {
		t.Errorf("the contact's phone has %+v", seen)
	}
}

// TestWelcomeByCurl answers with the line that the guide shows, in a shell: the guide notices.
func TestWelcomeByCurl(t *testing.T) {
	t.Parallel()
	own := newSession(t, "welcome-curl")
	friend := newPhone(t, "Berta")
	tab := open(t, "/welcome?session=welcome-curl")
	tab.Await(`document.querySelector('[data-step="3"]')?.dataset.state === 'now'`)
	sandbox(t, "POST", "/phones/"+friend+"/messages", map[string]any{"to": own, "type": "text", "text": "Is it ready?"}, nil)
	tab.Sees("Is it ready?")
	line := tab.Evaluate(`document.querySelector('[data-step="4"] pre').innerText`)
	if strings.Contains(line, running.APIKey) {
		t.Fatalf("the line has the key in it: %s", line)
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", line)
	shell.Env = append(shell.Environ(), "CHASQUI_KEY="+running.APIKey)
	if out, err := shell.CombinedOutput(); err != nil || !strings.Contains(string(out), `"outgoing"`) {
		t.Fatalf("%s\n%v\n%s", line, err, out)
	}
	tab.Sees("That is all it takes")
}
