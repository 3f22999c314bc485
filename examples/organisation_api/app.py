"""An API for organisations behind Maskinporten. The policy beside it decides; this only serves."""

from fastapi import FastAPI

from portvakt.adapters.fastapi import FastAPIGuard

guard = FastAPIGuard.from_file("portvakt.toml")
app = FastAPI(title="Orders")
guard.protect(app)


@app.get("/organisations/{orgnr}/orders")
def list_orders(orgnr: str) -> dict[str, str]:
    """List an organisation's orders: the policy has seen to it that it asks for its own."""
    return {"orders_of": orgnr}


@app.post("/organisations/{orgnr}/orders")
def place_order(orgnr: str) -> dict[str, str]:
    """Place an order for an organisation."""
    return {"ordered_for": orgnr}
