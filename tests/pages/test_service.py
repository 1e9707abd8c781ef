"""The page of a service lists its routes, and shows markup as text."""

from pages.service import service_page

DOCUMENT = {
    "info": {"title": "<b>Tilth</b>", "summary": "Labels."},
    "paths": {
        "/predict": {
            "post": {
                "description": "Predicts <script>x</script>",
                "requestBody": {"content": {"application/json": {}, "multipart/form-data": {}}},
                "responses": {"200": {"description": "fine"}, "413": {"description": "too large"}},
            }
        },
        "/health": {"get": {"responses": {"200": {"description": "lives"}}}},
    },
}


def test_every_route_and_every_answer_is_on_it():
    page = service_page(DOCUMENT)
    for text in ("POST /predict", "GET /health", "too large", "lives",
                 "application/json or multipart/form-data"):  # fmt: skip
        assert text in page
    assert 'href="/watch"' in page
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>" not in page
    assert page == service_page(DOCUMENT)
