package app

import "github.com/weir-stream/weir/internal/broker/api"

// API is the handlers of a running server, for tests that say themselves who their clients are.
func (a *App) API() *api.Server { return a.handlers }
