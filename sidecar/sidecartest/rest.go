package sidecartest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/beta"
	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
)

// maxBody bounds what a request may send, in bytes.
const maxBody = 1 << 20

// endpoint answers one request. read takes the request's body into a message.
type endpoint func(r *http.Request, x stable, b lists, read func(proto.Message) error) (proto.Message, error)

// REST serves the SDK as JSON, by the paths and in the form of the real SDK server's gateway: names as in the .proto, 64-bit
// numbers as strings, an empty body refused where a message is due.
func (s *Server) REST() http.Handler {
	mux := http.NewServeMux()
	for pattern, e := range map[string]endpoint{
		"POST /ready": func(r *http.Request, x stable, _ lists, read func(proto.Message) error) (proto.Message, error) {
			in := &sdk.Empty{}
			return then(read(in), func() (proto.Message, error) { return x.Ready(r.Context(), in) })
		},
		"POST /allocate": func(r *http.Request, x stable, _ lists, read func(proto.Message) error) (proto.Message, error) {
			in := &sdk.Empty{}
			return then(read(in), func() (proto.Message, error) { return x.Allocate(r.Context(), in) })
		},
		"POST /shutdown": func(r *http.Request, x stable, _ lists, read func(proto.Message) error) (proto.Message, error) {
			in := &sdk.Empty{}
			return then(read(in), func() (proto.Message, error) { return x.Shutdown(r.Context(), in) })
		},
		"POST /reserve": func(r *http.Request, x stable, _ lists, read func(proto.Message) error) (proto.Message, error) {
			in := &sdk.Duration{}
			return then(read(in), func() (proto.Message, error) { return x.Reserve(r.Context(), in) })
		},
		"POST /health": func(r *http.Request, x stable, _ lists, read func(proto.Message) error) (proto.Message, error) {
			return then(read(&sdk.Empty{}), func() (proto.Message, error) { return x.ping(r.Context()) })
		},
		"GET /gameserver": func(r *http.Request, x stable, _ lists, _ func(proto.Message) error) (proto.Message, error) {
			return x.GetGameServer(r.Context(), &sdk.Empty{})
		},
		"PUT /metadata/label": func(r *http.Request, x stable, _ lists, read func(proto.Message) error) (proto.Message, error) {
			in := &sdk.KeyValue{}
			return then(read(in), func() (proto.Message, error) { return x.SetLabel(r.Context(), in) })
		},
		"PUT /metadata/annotation": func(r *http.Request, x stable, _ lists, read func(proto.Message) error) (proto.Message, error) {
			in := &sdk.KeyValue{}
			return then(read(in), func() (proto.Message, error) { return x.SetAnnotation(r.Context(), in) })
		},
		"GET /v1beta1/counters/{name}": func(r *http.Request, _ stable, b lists, _ func(proto.Message) error) (proto.Message, error) {
			return b.GetCounter(r.Context(), &beta.GetCounterRequest{Name: r.PathValue("name")})
		},
		"PATCH /v1beta1/counters/{name}": func(r *http.Request, _ stable, b lists, read func(proto.Message) error) (proto.Message, error) {
			in := &beta.CounterUpdateRequest{}
			return then(read(in), func() (proto.Message, error) {
				in.Name = r.PathValue("name")
				return b.UpdateCounter(r.Context(), &beta.UpdateCounterRequest{CounterUpdateRequest: in})
			})
		},
		"GET /v1beta1/lists/{name}": func(r *http.Request, _ stable, b lists, _ func(proto.Message) error) (proto.Message, error) {
			return b.GetList(r.Context(), &beta.GetListRequest{Name: r.PathValue("name")})
		},
		"PATCH /v1beta1/lists/{name}": func(r *http.Request, _ stable, b lists, read func(proto.Message) error) (proto.Message, error) {
			in := &beta.List{}
			return then(read(in), func() (proto.Message, error) {
				in.Name = r.PathValue("name")
				return b.UpdateList(r.Context(), &beta.UpdateListRequest{List: in})
			})
		},
		"POST /v1beta1/lists/{verb}": changeList,
	} {
		mux.HandleFunc(pattern, s.answer(e))
	}
	mux.HandleFunc("GET /watch/gameserver", s.restWatch)
	return mux
}

// changeList is for paths as /v1beta1/lists/players:addValue.
func changeList(r *http.Request, _ stable, b lists, read func(proto.Message) error) (proto.Message, error) {
	name, verb, _ := strings.Cut(r.PathValue("verb"), ":")
	switch verb {
	case "addValue":
		in := &beta.AddListValueRequest{}
		return then(read(in), func() (proto.Message, error) {
			in.Name = name
			return b.AddListValue(r.Context(), in)
		})
	case "removeValue":
		in := &beta.RemoveListValueRequest{}
		return then(read(in), func() (proto.Message, error) {
			in.Name = name
			return b.RemoveListValue(r.Context(), in)
		})
	}
	return nil, status.Error(codes.NotFound, "Not Found")
}

func then(err error, do func() (proto.Message, error)) (proto.Message, error) {
	if err != nil {
		return nil, err
	}
	return do()
}

// answer turns an endpoint into a handler.
func (s *Server) answer(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.current()
		if p == nil {
			fail(w, status.Error(codes.Unavailable, ErrDown.Error()))
			return
		}
		out, err := e(r, stable{s: s, p: p}, lists{s: s, p: p}, func(in proto.Message) error {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			if err == nil {
				err = protojson.Unmarshal(body, in)
			}
			if err != nil {
				return status.Error(codes.InvalidArgument, err.Error())
			}
			return nil
		})
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(encode(out)) // the client has gone
	}
}

func (s *Server) current() *pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pod
}

func encode(m proto.Message) []byte {
	raw, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		panic(err) // our own messages
	}
	return raw
}

// fail answers as the gateway does: everything that the SDK server refuses is a 500, as it says Unknown.
func fail(w http.ResponseWriter, err error) {
	st := status.Convert(err)
	code := map[codes.Code]int{
		codes.InvalidArgument: http.StatusBadRequest, codes.NotFound: http.StatusNotFound, codes.Unavailable: http.StatusServiceUnavailable,
	}[st.Code()]
	if code == 0 {
		code = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"code": int(st.Code()), "message": st.Message(), "details": []any{}}) // the client has gone
}

// restWatch writes a line for each message.
func (s *Server) restWatch(w http.ResponseWriter, r *http.Request) {
	p := s.current()
	if p == nil {
		fail(w, status.Error(codes.Unavailable, ErrDown.Error()))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	out := http.NewResponseController(w)
	_ = s.watch(r.Context(), p, func(g *sdk.GameServer) error { // it ends with the client or the SDK server
		if _, err := w.Write(append(append([]byte(`{"result":`), encode(g)...), "}\n"...)); err != nil {
			return err
		}
		return out.Flush()
	})
}
