import { Component, type ReactNode } from "react";

const RETRY_AFTER_MS = 3000;

type State = { error: Error | null };

/**
 * Shows what went wrong instead of a blank page, and tries again by itself:
 * while you edit functions, a query may be broken for a moment.
 */
export class ErrorBoundary extends Component<{ children: ReactNode }, State> {
  state: State = { error: null };
  private timer: number | undefined;

  static getDerivedStateFromError(error: Error): State {
    return { error };
  }

  componentDidCatch() {
    this.timer = window.setTimeout(this.retry, RETRY_AFTER_MS);
  }

  componentWillUnmount() {
    window.clearTimeout(this.timer);
  }

  retry = () => {
    window.clearTimeout(this.timer);
    this.setState({ error: null });
  };

  render() {
    if (!this.state.error) return this.props.children;
    return (
      <main className="join">
        <div className="card" role="alert">
          <h1>Something broke</h1>
          <p>The page tries again every few seconds.</p>
          <pre>{this.state.error.message}</pre>
          <div className="actions">
            <button className="primary" onClick={this.retry}>
              Try now
            </button>
          </div>
        </div>
      </main>
    );
  }
}
