"""The weakened decoder of lexicon-bottlenecked pre-training.

Shapes: B texts, L tokens, D width, V vocabulary.

Two transformer layers see a heavily masked caption whose position 0 holds the *bottleneck*: what the lexicon vector
says, as a mixture of word embeddings. They can fill the masks well only if the lexicon vector names the right words;
LexLIP (arXiv 2302.02908), section 3.2, after LexMAE.
"""

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PretrainedConfig

DECODER_LAYERS = 2  # weak on purpose: a strong decoder would guess the words without the bottleneck


def bottleneck(pooled_BV: Tensor, word_embeddings_VD: Tensor) -> Tensor:
    """[B, D]: softmax of the pooled logits, times the word embeddings, which receive no gradient from it."""
    return torch.softmax(pooled_BV.float(), dim=-1).to(word_embeddings_VD.dtype) @ word_embeddings_VD.detach()


class BottleneckDecoder(nn.Module):
    """Two BERT layers over the embeddings of a masked caption with the bottleneck in place of [CLS].

    Args:
        text_configuration: of the text tower; width, heads, positions and dropout are taken from it.
    """

    def __init__(self, text_configuration: PretrainedConfig) -> None:
        super().__init__()
        model = BertModel(_bert_configuration(text_configuration))
        self.embeddings = model.embeddings
        self.layers = model.encoder.layer
        # Word embeddings are the text tower's own and come in with every call.
        self.embeddings.register_module("word_embeddings", None)

    def forward(
        self, bottleneck_BD: Tensor, masked_ids_BL: Tensor, padding_BL: Tensor, word_embeddings: nn.Embedding
    ) -> Tensor:
        """[B, L, D] states from which the masked words are predicted."""
        words_BLD = word_embeddings(masked_ids_BL)
        words_BLD = torch.cat((bottleneck_BD[:, None].to(words_BLD.dtype), words_BLD[:, 1:]), dim=1)
        states_BLD = self.embeddings(inputs_embeds=words_BLD)
        visible_B11L = (~padding_BL)[:, None, None, :]
        for layer in self.layers:
            states_BLD = layer(states_BLD, visible_B11L)
        return states_BLD


def _bert_configuration(text: PretrainedConfig) -> BertConfig:
    width: int = text.hidden_size
    return BertConfig(
        vocab_size=text.vocab_size,
        hidden_size=width,
        num_hidden_layers=DECODER_LAYERS,
        num_attention_heads=text.num_attention_heads,
        intermediate_size=getattr(text, "intermediate_size", 4 * width),
        max_position_embeddings=text.max_position_embeddings,
        hidden_dropout_prob=getattr(text, "hidden_dropout_prob", 0.1),
        attention_probs_dropout_prob=getattr(text, "attention_probs_dropout_prob", 0.1),
    )
