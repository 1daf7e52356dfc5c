"""What must be found where Lofty is spoken to."""


class LoftyClient:
    async def _exchange(self, request):
        async with self.http.stream(request.method, request.path) as response:
            return await response.aread()

    async def ping(self):
        # ruleid: lofty-is-asked-in-one-place
        return await self.http.get("/v1.0/me")


async def put_lead(client, lead_id, body, before):
    # ruleid: a-write-is-marked-before-it-leaves
    await client.send(requests.put_lead(lead_id, body))
    # ruleid: lofty-is-asked-in-one-place
    await http.request("PUT", "/v1.0/leads/1", json=body)
    return await client.send(requests.put_lead(lead_id, body), before)


async def lead(client, lead_id):
    body = await client.send(requests.lead(lead_id))
    if "lead" not in body:
        # ruleid: answers-of-lofty-stay-out-of-errors
        raise UpstreamFailed(f"Lofty said {body}.")
    return body


def decipher(status, content):
    body = json.loads(content)
    if status == 409:
        # ruleid: answers-of-lofty-stay-out-of-errors
        raise RejectedByLofty(body["message"])
    raise classify(status, business_code(body))


def found(response, lead_id):
    if response.status_code == 403:
        # ruleid: not-found-reads-alike
        raise NotFound("This lead is hidden.")
    try:
        return response.json()
    except ValueError as error:
        # ruleid: errors-hold-no-text-of-others
        raise UpstreamFailed(f"Lofty's answer: {error}") from None
    except KeyError as error:
        # ruleid: errors-hold-no-text-of-others
        raise UpstreamFailed("Lofty's answer: " + str(error)) from None
    except TypeError:
        raise NotFound() from None
    except LookupError:
        raise NotFound(NO_SUCH_MESSAGE) from None


def reach(host):
    # ruleid: the-way-to-lofty-is-checked
    httpx2.AsyncClient(base_url=host, verify=False)
    # ruleid: the-way-to-lofty-is-checked
    httpx2.AsyncClient(base_url=host, follow_redirects=True)
    return httpx2.AsyncClient(base_url=host, follow_redirects=False)
